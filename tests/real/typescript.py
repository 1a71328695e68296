"""Writes the TypeScript that names all messages of a protocol, of which typescript-json-schema makes a JSON Schema.

For example, in a directory where npm has installed ``vscode-languageserver-protocol`` and ``typescript-json-schema``::

    python tests/real/typescript.py lsp node_modules/vscode-languageserver-protocol > lsp.ts
    echo '{"compilerOptions": {"module": "nodenext", "strict": true, "skipLibCheck": true}, "files": ["lsp.ts"]}' > tsconfig.json
    typescript-json-schema --required --aliasRefs tsconfig.json Messages -o lsp.json
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

_NAMESPACE = re.compile(r"^export declare namespace \w+ \{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
_METHOD = re.compile(r"const method: (['\"`])(.*)\1;")
_TYPE = re.compile(r"const type: Protocol(Request|Notification)Type(0?)<(.*)>;")


def lsp(package: Path) -> Iterator[str]:
    """Give a property for each message: its kind, and the types of what it carries."""
    messages: list[str] = []
    for path in sorted((package / "lib" / "common").glob("protocol*.d.ts")):
        for body in _NAMESPACE.findall(path.read_text(encoding="utf-8")):
            if (method := _METHOD.search(body)) and (declared := _TYPE.search(body)):
                slots = "; ".join(_slots(*declared.groups()))
                messages.append(f'  "{method[2]}": {{ {slots} }};')
    names = {name for each in messages for name in re.findall(r"\b[A-Z]\w+", each.split("{")[1])}
    within = {"DocumentDiagnosticReportProgress"}  # the package does not export it
    yield f'import type {{ {", ".join(sorted(names - within))} }} from "{package.name}";'
    yield f'import type {{ {", ".join(within)} }} from "./{package}/lib/common/protocol.diagnostic.js";'
    yield "export interface Messages {"
    yield from sorted(messages)
    yield "}"


def _slots(kind: str, bare: str, parameters: str) -> Iterator[str]:
    """Give the slots of a message by its type's parameters; a request with partial results is a stream."""
    param, *rest = ["void"] * len(bare) + parameters.split(", ")
    if kind == "Notification":
        slots = {"data": param}
    else:
        result, partial, *_ = rest
        slots = {"param": param, "receive": partial, "result": result}
    for name, given in slots.items():
        if given not in {"void", "never"}:
            yield f"{name}: {given}"


def obs(_: Path) -> Iterator[str]:
    """Give the library's own tables, and the names of requests that neither take nor give anything."""
    names = "OBSEventTypes, OBSRequestTypes, OBSResponseTypes"
    yield f'import type {{ {names} }} from "obs-websocket-js/json";'
    yield "export interface Messages {"
    yield "  events: OBSEventTypes;"
    yield "  params: OBSRequestTypes;"
    yield "  results: OBSResponseTypes;"
    yield "  requests: keyof OBSRequestTypes;"
    yield "}"


if __name__ == "__main__":
    lines = {"lsp": lsp, "obs": obs}[sys.argv[1]](Path(sys.argv[2]))
    sys.stdout.writelines(f"{line}\n" for line in lines)
