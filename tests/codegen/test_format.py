"""The formatter writes what black writes, and runs black rarely."""

from pathlib import Path

import black
import pytest
from enkaku_codegen.generate import generate
from enkaku_codegen.reading.definition import Protocol, read_protocol
from enkaku_codegen.writing import format as formatter
from enkaku_codegen.writing import models
from generated.packages import make_protocol, unformatted
from golden.refresh import PROTOCOLS
from hypothesis import given, settings
from hypothesis import strategies as st

MODE = black.Mode(target_versions={black.TargetVersion.PY311}, line_length=100)
REAL = [
    Path(__file__).parents[1] / f"real/protocols/{name}.json" for name in ("acp", "mcp", "metamask")
]
HEAD = "import os\n\nX = 1\n\n\n"


def lines(width: int) -> str:
    return f"    {'m' * width}: Annotated[int, Field(alias='{'n' * width}')] | None = None"


@pytest.mark.parametrize("path", [*PROTOCOLS, *REAL], ids=lambda path: path.stem)
def test_format_source_of_protocol_equals_black(path: Path) -> None:
    for name, text in unformatted(read_protocol(path), source=path.name).items():
        if name.endswith(".py"):
            whole = black.format_str(f"{text.rstrip()}\n", mode=MODE)
            assert formatter.format_source(text, name) == whole, name


@pytest.mark.parametrize(
    "statement",
    [
        "class A(Model):\n  x: int\n  y: int",
        "class A(Model):\n\tx: int\n\ty: int",
        "class A(Model):\n    x: int # why\n    y: int",
        "class A(Model):\n    x: int; y: int",
        "class A(Model):\n    x: int\n\n\n    y: int\n    'text'",
        "class A(Model):\n    x: int\n    def f(self): return 1\n    def g(self): ...\n    def h(self): ...",
        "class A(Model):\n    def f(self): ...\n    x: int",
        "class A(Model):\n    '''It's a \"text\". '''\n    x: int\n    y: int",
        'class A(Model):\n    """Text\n\n       indented\n  less\n    """\n    x: int',
        'class A(Model):\n    """Text.   """\n\n    """ Other. """\n    x: int\n    """ Third."""',
        "class A(Model):\n    x: int = f'{y}'\n    z: str = u'1'\n    w: bytes = B'1'",
        "class A(Model):\n    x: int = (1)\n    y: list[int,] = [1,]\n    z: int = 0XFF",
        "class A(Model): x: int",
        "class A: ...\nclass B: ...",
        "@decorated\n@twice ( )\nclass A:\n    x: int",
        "A = 1\nB: int = 2\n\n\n\nC = 3\n'text'\n'''text'''\nD = {'a':1,}\nD[1 : 2]",
        "import re\nA = 1",
        "if x:\n    A = 1",
        "A = 1  # fmt: skip\nB  =  2",
        "# fmt: off\nA  = 1\n# fmt: on",
        "def f(): pass\nA = 1",
        "A = 'é' ; B = 2",
        "A = 'é'\nclass Ä:\n    x : int",
        "A = x if \\\n  y else z",
        f"class A(Model):\n{lines(20)}\n{lines(26)}\n{lines(27)}\n{lines(28)}\n{lines(60)}",
        *(f"def f({'a' * n}: int, *b: int, **c: Unpack[Options]) -> {'d' * n}: pass" for n in range(20, 33)),
        *(f"A: Final = f[{'a' * n}, {'b' * n}]('c', d={'e' * n})" for n in range(17, 55)),
        "A = f(\n  a,\n  b)\nB = [\n  1,\n]",
        "A = B = print ( a )\nx = await_ ( b )\nmatch = case ( c )",
        "A = ''\nB = \"\"\nC = ''''''\nD = '\"'\nE = \"'\"\nF = 'a' 'b'",
    ],
)  # fmt: skip
def test_format_source_of_any_statement_equals_black(statement: str) -> None:
    for source in (statement, HEAD + statement, f"{HEAD}{statement}\n\n{statement}\n\n\nY = 2"):
        assert formatter.format_source(source, "a.py") == black.format_str(source + "\n", mode=MODE)


NAMES = st.integers(1, 40).map(lambda size: "n" * size)
TYPES = st.recursive(
    NAMES | st.just("Annotated[int, Field(alias='a', ge=0)]"),
    lambda inner: st.builds("{}[{}]".format, NAMES, inner)
    | st.builds("{} | {}".format, inner, inner),
)
TEXTS = st.text(st.sampled_from("ab .\"'\n\\")).map(repr) | st.just('"""One.\n\n    Two.\n    """')
FIELDS = st.builds("{}: {}".format, NAMES, TYPES) | st.builds("{}: {}=None".format, NAMES, TYPES)
METHODS = st.builds(
    "async def {}(self, a:{}, **b: {}) -> {}:\n        {}\n        return await f({}, b=1)".format,
    NAMES, TYPES, TYPES, TYPES, TEXTS, NAMES,
)  # fmt: skip
CLASSES = st.builds(
    lambda name, parts: f"class {name}(Model):\n    " + "\n    ".join(parts),
    NAMES,
    st.lists(FIELDS | TEXTS, min_size=1) | st.lists(METHODS, min_size=1),
)
CALLS = st.builds("{}: {} = {}('a', b={})".format, NAMES, NAMES, TYPES, TYPES)


@settings(max_examples=25)
@given(st.lists(CLASSES | CALLS | TEXTS, min_size=1), st.integers(0, 4))
def test_format_source_of_random_module_equals_black(parts: list[str], gap: int) -> None:
    separator = "\n" * (gap + 1)
    source = f"import os\n\n{separator.join(parts)}\n"
    assert formatter.format_source(source, "a.py") == black.format_str(source, mode=MODE)


def many(count: int) -> Protocol:
    value = {
        "type": "object",
        "properties": {"label": {"type": "string", "minLength": 1}, "kind": {"enum": ["a", "b"]}},
    }
    return make_protocol(
        {
            f"records/do{number:03}": {
                "type": "request",
                "description": "Do it.",
                "param": value,
                "result": value,
            }
            for number in range(count)
        }
    )


def test_generate_runs_black_once_for_equal_layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    formatted: list[str] = []

    def record(source: str) -> str:
        formatted.append(source)
        return black.format_str(source, mode=MODE)

    monkeypatch.setattr(formatter, "_black", record)
    counts: list[int] = []
    for count in (20, 200):
        formatter._cached.cache_clear()
        formatted.clear()
        generate(many(count), source="many.json")
        counts.append(len(formatted))
    assert counts[0] == counts[1] < 30


def test_generate_writes_equal_annotations_once(monkeypatch: pytest.MonkeyPatch) -> None:
    documents: list[str] = []
    real = models._generate

    def record(document: str) -> str:
        documents.append(document)
        return real(document)

    monkeypatch.setattr(models, "_generate", record)
    files = generate(many(50), source="many.json")
    assert files["models.py"].count("Annotated[str | None, Field(min_length=1)]") == 100
    (document,) = documents
    assert document.count("minLength") == 1
