"""Generation is pure: the same protocol gives the same package, in every process."""

import json
import os
import subprocess
import sys
from pathlib import Path

from enkaku_codegen.fingerprint import MARKER
from enkaku_codegen.generate import generate
from enkaku_codegen.reading.definition import read_protocol
from enkaku_codegen.writing.format import format_source
from generated.packages import make_protocol

SEED = Path(__file__).parent.parent / "golden" / "protocols" / "dashboard.json"
PROGRAM = """
import json, sys
from pathlib import Path
from enkaku_codegen.reading.definition import read_protocol
from enkaku_codegen.generate import generate
print(json.dumps(generate(read_protocol(Path(sys.argv[1])), source="dashboard.json")))
"""


def test_generate_output_is_independent_of_process(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.black]\nline-length = 20\n[tool.datamodel-codegen]\nuse-title = 1\n"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(SEED)],
            env=os.environ | {"PYTHONHASHSEED": seed, "LC_ALL": locale, "TZ": zone},
            cwd=tmp_path,
            capture_output=True,
            timeout=50,
            check=True,
        ).stdout
        for seed, locale, zone in (("1", "C", "UTC"), ("2", "C.UTF-8", "Asia/Tokyo"))
    ]
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0]) == generate(read_protocol(SEED), source="dashboard.json")


def test_generate_ignores_file_order_and_new_procedure_only_adds(
    tmp_path: Path,
) -> None:
    document = json.loads(SEED.read_text())
    backwards = tmp_path / "dashboard.json"
    backwards.write_text(json.dumps(dict(reversed(document.items()))))
    before = generate(read_protocol(SEED), source="dashboard.json")
    assert generate(read_protocol(backwards), source="dashboard.json") == before
    backwards.write_text(
        json.dumps({"a/new": {"type": "event", "data": {"type": "string"}}, **document})
    )
    after = generate(read_protocol(backwards), source="dashboard.json")
    for name, text in before.items():
        kept = set(after[name].splitlines())
        others = [line for line in text.splitlines() if line not in kept]
        assert [
            line for line in others if not line.startswith("DIGEST: ")
        ] == []  # of all procedures


def test_generate_files_are_formatted_and_have_marker() -> None:
    files = generate(read_protocol(SEED), source="dashboard.json")
    assert sorted(files) == [
        "__init__.py",
        "client.py",
        "description.py",
        "models.py",
        "procedures.py",
        "py.typed",
        "server.py",
    ]
    assert files.pop("py.typed") == ""
    for name, text in files.items():
        assert text.startswith(MARKER)
        assert format_source(text, name) == text


def test_generate_protocol_without_procedures_gives_models_only() -> None:
    files = generate(make_protocol({}, name="Empty"), source="empty.json")
    assert sorted(files) == ["__init__.py", "models.py", "py.typed"]
