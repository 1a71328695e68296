"""Writes the protocol files and examples here anew, from the packages that README.md names.

For example, with the packages unpacked below DIRECTORY, each in a directory of its own::

    python tests/real/convert.py github DIRECTORY/webhooks-schemas DIRECTORY/webhooks-examples

What a conversion changes: shared schemas move to ``$defs``, under the names that they had, and references follow
them; a keyword that JSON Schema does not know begins with ``x-`` then. Nothing else of a schema changes, and the
order stays. The procedures are made from what the collection says of its messages.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from real.collection import read, schemas, validator  # noqa: E402 # see above
from real.conversion import DRAFT_07, DRAFT_2020_12, converted, shared  # noqa: E402 # see above

SHORT: Final = 5_500
"""How many characters an example may have that is not the only one of its kind."""

Example = dict[str, Any]


def example(name: str, value: Any, procedure: str, slot: str) -> Example:
    return {"name": name, "procedure": procedure, "slot": slot, "value": value}


def protocol(
    name: str, description: str, definitions: Any, procedures: Any, draft: str = DRAFT_07
) -> Any:
    return {
        "$schema": draft,
        "name": name,
        "description": description,
        "$defs": definitions,
        "procedures": procedures,
    }


def github(schemas: Path, examples: Path) -> tuple[Any, Iterator[Example]]:
    """Every webhook of GitHub is an event, named as in the header that comes with it."""
    source = read(schemas / "schema.json")
    names = sorted(each["$ref"].removeprefix("#/definitions/") for each in source["oneOf"])
    procedures = {
        re.sub("[$_]event$", "", name): {"type": "event", "data": {"$ref": f"#/$defs/{name}"}}
        for name in names
    }
    definitions = {name: converted(each, shared) for name, each in source["definitions"].items()}
    definitions = json.loads(re.sub(r"(registry) \(`[a-z.]+`\)", r"\1", text(definitions)))
    described = "What GitHub tells others by webhooks."
    return protocol("GithubWebhooks", described, definitions, procedures), _github_examples(
        examples
    )


def _github_examples(directory: Path) -> Iterator[Example]:
    """Give all but those that are full of the addresses of a registry."""
    events = read(directory / "api.github.com" / "index.json")
    for event in (event for event in events if event["name"] != "package"):
        for value in event["examples"]:
            name = f"{event['name']} {value.get('action', '')}".strip()
            yield example(name, value, event["name"], "data")


def acp(sdk: Path, python_sdk: Path) -> tuple[Any, Iterator[Example]]:
    """Requests and notifications of both sides, named as on the wire; a notification is an event."""
    source = read(sdk / "schema" / "v1" / "schema.json")
    definitions = {
        name: converted(each, shared, DRAFT_2020_12) for name, each in source["$defs"].items()
    }
    procedures: dict[str, Any] = {}
    for name, each in definitions.items():
        if "x-method" in each:
            procedure = procedures.setdefault(each["x-method"], {"type": "request"})
            if name.endswith("Notification"):
                procedure["type"] = "event"
            procedure[_slot(name)] = {"$ref": f"#/$defs/{name}"}
    described = "The Agent Client Protocol, version 1: between code editors and coding agents."
    made = protocol("AgentClientProtocol", described, definitions, procedures, DRAFT_2020_12)
    return made, _acp_examples(python_sdk / "tests" / "golden", procedures)


def _slot(name: str) -> str:
    ends = {"Notification": "data", "Request": "param", "Response": "result"}
    return ends[re.split("(?=[A-Z])", name)[-1]]


def _acp_examples(directory: Path, procedures: Any) -> Iterator[Example]:
    """Give the messages, those of which there are several with what is around them in a message."""
    references = {
        slot["$ref"].removeprefix("#/$defs/"): (procedure, key)
        for procedure, slots in procedures.items()
        for key, slot in slots.items()
        if key != "type"
    }
    for path in sorted(directory.iterdir()):
        value, name = read(path), path.stem
        session = {"sessionId": "sess_abc123def456"}
        match name.split("_")[0], name:
            case "content", _:
                update = {"sessionUpdate": "agent_message_chunk", "content": value}
                yield example(name, {**session, "update": update}, "session/update", "data")
            case "session", _:
                yield example(name, {**session, "update": value}, "session/update", "data")
            case "tool", _:
                update = {
                    "sessionUpdate": "tool_call",
                    "toolCallId": "1",
                    "title": "",
                    "content": [value],
                }
                yield example(name, {**session, "update": update}, "session/update", "data")
            case "permission", _:
                yield example(name, {"outcome": value}, "session/request_permission", "result")
            case _:
                words = name.removeprefix("fs_").removesuffix("_selected").split("_")
                slot = references["".join(word.capitalize() for word in words)]
                yield example(name, value, *slot)


def cyclonedx(library: Path) -> tuple[Any, Iterator[Example]]:
    """A bill of materials is the param of a request."""
    schemas = library / "cyclonedx" / "schema" / "_res"
    files = {
        "bom": "bom-1.7.SNAPSHOT.schema.json",
        "cryptography": "cryptography-defs.SNAPSHOT.schema.json",
        "signature": "jsf-0.82.SNAPSHOT.schema.json",
        "spdx": "spdx.SNAPSHOT.schema.json",
    }
    definitions: dict[str, Any] = {}
    for name, file in files.items():
        source = read(schemas / file)
        prefix = "" if name == "bom" else f"{name}-"

        def refer(reference: str, name: str = name) -> str:
            file, _, fragment = reference.partition("#")
            home = next((key for key, each in files.items() if each == file), name)
            within = fragment.removeprefix("/definitions/")
            target = within if home == "bom" else f"{home}-{within}"
            return f"#/$defs/{target if fragment else home}"

        for key, each in source.pop("definitions", {}).items():
            definitions[f"{prefix}{key}"] = converted(each, refer)
        for key in ("$id", "$schema"):
            source.pop(key)
        if source.keys() & {"type", "enum", "$ref", "oneOf", "properties"}:
            definitions[name] = converted(source, refer)
    procedures = {
        "bom/publish": {
            "type": "request",
            "param": {"$ref": "#/$defs/bom"},
            "result": {"$ref": "#/$defs/refLinkType"},
        },
        "bom/fetch": {
            "type": "request",
            "param": {"$ref": "#/$defs/bomLinkDocumentType"},
            "result": {"$ref": "#/$defs/bom"},
        },
    }
    described = "Bills of materials of CycloneDX 1.7."
    made = protocol("Cyclonedx", described, definitions, procedures)
    return made, _cyclonedx_examples(library / "tests" / "_data" / "schemaTestData" / "1.7")


def _cyclonedx_examples(directory: Path) -> Iterator[Example]:
    for path in sorted(directory.glob("*.json")):
        yield example(path.stem, read(path), "bom/publish", "param")


def mcp(made: Path) -> tuple[Any, Iterator[Example]]:
    """A request takes its params and gives its result; a notification is an event.

    Args:
        made: Where ``mcp.json`` is, which the specification's own command makes of the SDK's ``spec.types.d.ts``::

            typescript-json-schema --defaultNumberType integer --required --skipLibCheck spec.types.ts "*" -o mcp.json
    """
    source = read(made / "mcp.json")
    definitions = {
        name: converted(each, shared, DRAFT_2020_12) for name, each in source["definitions"].items()
    }
    procedures: dict[str, Any] = {}
    for name, each in definitions.items():
        match each.get("properties"):
            case {"method": {"const": method}, **members}:
                told = name.endswith("Notification")
                procedure = procedures[method] = {"type": "event" if told else "request"}
                procedure["description"] = each["description"]
                if "params" in members:
                    procedure["data" if told else "param"] = members["params"]
                if not told:
                    result = name.replace("Request", "Result")
                    found = result if result in definitions else "EmptyResult"
                    procedure["result"] = {"$ref": f"#/$defs/{found}"}
            case _:
                pass
    described = "The Model Context Protocol: between applications and what gives context to language models."
    made_of = protocol("ModelContext", described, definitions, procedures, DRAFT_2020_12)
    return made_of, iter(())


def metamask(specs: Path) -> tuple[Any, Iterator[Example]]:
    """A method of the OpenRPC document is a request, its params are by position."""
    source = read(specs / "dist" / "build" / "openrpc.json")
    components = source["components"]["schemas"]
    definitions = {name: _component(each) for name, each in components.items()}
    procedures: dict[str, Any] = {}
    for method in source["methods"]:
        procedure = procedures[method["name"]] = {"type": "request"}
        procedure["description"] = method.get("description") or method.get("summary", "")
        if params := method["params"]:
            required = [index for index, each in enumerate(params, 1) if each.get("required")]
            procedure["param"] = {
                "type": "array",
                "prefixItems": [_component(param["schema"]) for param in params],
                "minItems": max(required, default=0),
                "items": False,
            }
        procedure["result"] = _component(method["result"]["schema"])
    described = source["info"]["description"]
    made = protocol("MetamaskWallet", described, definitions, procedures, DRAFT_2020_12)
    return made, _metamask_examples(source, procedures)


def _component(schema: Any) -> Any:
    return converted(
        schema, lambda it: it.replace("#/components/schemas/", "#/$defs/"), DRAFT_2020_12
    )


def _metamask_examples(source: Any, procedures: Any) -> Iterator[Example]:
    for method in source["methods"]:
        for index, pair in enumerate(method.get("examples", [])):
            name = f"{method['name']} {index}"
            if "param" in procedures[method["name"]]:
                params = [param["value"] for param in pair["params"]]
                yield example(name, params, method["name"], "param")
            if "result" in pair:
                yield example(name, pair["result"]["value"], method["name"], "result")


def debug(debugpy: Path) -> tuple[Any, Iterator[Example]]:
    """A request takes the arguments of the debugger's request and gives the body of its response."""
    within = "src/debugpy/_vendored/pydevd/_pydevd_bundle/_debug_adapter/debugProtocol.json"
    source = read(debugpy / within)
    definitions = {name: converted(each, shared) for name, each in source["definitions"].items()}
    procedures: dict[str, Any] = {}
    for each in definitions.values():
        match each:
            case {
                "allOf": [
                    {"$ref": "#/$defs/Request"},
                    {"properties": {"command": {"enum": [command]}}} as own,
                ]
            }:
                response = definitions[f"{command[0].upper()}{command[1:]}Response"]["allOf"]
                procedures[command] = {"type": "request", "description": own["description"]}
                if "arguments" in own["properties"]:
                    procedures[command]["param"] = own["properties"]["arguments"]
                if len(response) > 1 and "body" in response[1].get("properties", {}):
                    procedures[command]["result"] = response[1]["properties"]["body"]
            case {
                "allOf": [
                    {"$ref": "#/$defs/Event"},
                    {"properties": {"event": {"enum": [event]}}} as own,
                ]
            }:
                procedures[event] = {"type": "event", "description": own["description"]}
                if "body" in own["properties"]:
                    procedures[event]["data"] = own["properties"]["body"]
            case _:
                pass
    return protocol("DebugAdapter", source["description"], definitions, procedures), iter(())


DOMAINS: Final = {
    *("Browser", "Console", "CSS", "Debugger", "DOM", "DOMDebugger", "Emulation", "Fetch"),
    *("HeapProfiler", "Input", "IO", "Log", "Network", "Page", "Performance", "Profiler"),
    *("Runtime", "Schema", "Security", "Target", "Tracing"),
}
"""The domains of the DevTools protocol that are not experimental as a whole, CSS and HeapProfiler."""


def cdp(devtools: Path) -> tuple[Any, Iterator[Example]]:
    """A command is a request. An event is a stream of what the browser sends, without a result."""
    domains = [
        domain
        for file in ("browser_protocol.json", "js_protocol.json")
        for domain in read(devtools / "json" / file)["domains"]
    ]
    types: dict[str, Any] = {}
    procedures: dict[str, Any] = {}
    for domain in domains:
        prefix = domain["domain"]
        for each in domain.get("types", ()):
            types[f"{prefix}.{each['id']}"] = _devtools_schema(
                {key: value for key, value in each.items() if key != "id"}, prefix
            )
        if prefix in DOMAINS:
            for each in domain.get("commands", ()):
                procedure = _devtools_procedure("request", each)
                for key, slot in (("parameters", "param"), ("returns", "result")):
                    if key in each:
                        members = {"type": "object", "properties": each[key]}
                        procedure[slot] = _devtools_schema(members, prefix)
                procedures[f"{prefix}.{each['name']}"] = procedure
            for each in domain.get("events", ()):
                members = {"type": "object", "properties": each.get("parameters", [])}
                procedure = _devtools_procedure("stream", each)
                procedure["receive"] = _devtools_schema(members, prefix)
                procedures[f"{prefix}.{each['name']}"] = procedure
    described = "The Chrome DevTools Protocol: what tools ask of a browser, and what it reports."
    used = reachable(procedures, types)
    return protocol("ChromeDevtools", described, used, procedures, DRAFT_2020_12), iter(())


def _devtools_procedure(kind: str, source: Any) -> dict[str, Any]:
    return {"type": kind, "description": source.get("description", source["name"])}


def _devtools_schema(source: Any, domain: str) -> Any:
    """Convert a type of the protocol, whose properties are a list, each of them required unless it says otherwise."""
    new: dict[str, Any] = {}
    for key, value in source.items():
        match key, value:
            case "name" | "optional", _:
                pass
            case "$ref", _:
                new[key] = f"#/$defs/{value if '.' in value else f'{domain}.{value}'}"
            case "type", "any":
                pass
            case "type", "binary":
                new |= {"type": "string", "contentEncoding": "base64"}
            case "items", _:
                new[key] = _devtools_schema(value, domain)
            case "properties", _:
                new[key] = {each["name"]: _devtools_schema(each, domain) for each in value}
                if required := [each["name"] for each in value if not each.get("optional")]:
                    new["required"] = required
            case _:
                new[key] = value
    return converted(new, lambda reference: reference, DRAFT_2020_12)


def obs(made: Path) -> tuple[Any, Iterator[Example]]:
    """A request of OBS is a request. All its events are items of one stream; ``eventType`` is their discriminator.

    Args:
        made: Where ``obs.json`` is, which ``typescript.py`` says how to make.
    """
    messages, definitions = _typescript(read(made / "obs.json"))
    tables = {
        name: definitions[_target(each["$ref"])] if "$ref" in each else each
        for name, each in messages.items()
    }
    procedures: dict[str, Any] = {}
    for name in sorted(tables["requests"]["enum"]):
        procedures[name] = {"type": "request"}
        for table, slot in (("params", "param"), ("results", "result")):
            if name in tables[table]["properties"]:
                procedures[name][slot] = tables[table]["properties"][name]
    for name, data in tables["events"]["properties"].items():
        definitions[f"{name}Event"] = {
            "type": "object",
            "properties": {"eventType": {"const": name}, "eventData": data},
            "required": ["eventType", "eventData"],
        }
    events = [{"$ref": f"#/$defs/{name}Event"} for name in tables["events"]["properties"]]
    procedures["Events"] = {"type": "stream", "receive": {"oneOf": events}}
    described = "obs-websocket 5: remote control of OBS Studio."
    used = reachable(procedures, definitions)
    return protocol("ObsWebsocket", described, used, procedures), iter(())


def lsp(made: Path) -> tuple[Any, Iterator[Example]]:
    """A request with partial results is a stream of them; any other is a request. A notification is an event.

    Args:
        made: Where ``lsp.json`` is, which ``typescript.py`` says how to make.
    """
    messages, definitions = _typescript(read(made / "lsp.json"))
    for name, least in (("integer", -(2**31)), ("uinteger", 0)):
        definitions[name] |= {"type": "integer", "minimum": least, "maximum": 2**31 - 1}
    procedures: dict[str, Any] = {}
    for name, message in messages.items():
        slots = message.get("properties", {})
        if "data" in slots or name == "exit":
            kind = "event"
        else:
            kind = "stream" if "receive" in slots else "request"
        procedures[name] = {"type": kind, **slots}
    described = "The Language Server Protocol 3.18: between editors and what knows a language."
    used = reachable(procedures, definitions)
    return protocol("LanguageServer", described, used, procedures), iter(())


def _typescript(source: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Give the schemas of messages and of what they refer to, as typescript-json-schema makes them with aliases.

    A type without a name is inlined. The names ``T`` and ``T_1`` of one type become one name.
    """
    given = source["definitions"]

    def refer(reference: str) -> str:
        return f"#/$defs/{quote(_without_number(_target(reference)))}"

    def inlined(schema: Any) -> Any:
        match schema:
            case {"$ref": str(reference), **rest} if _target(reference).startswith("__type"):
                return inlined({**given[_target(reference)], **rest})
            case dict():
                return {key: inlined(each) for key, each in schema.items()}
            case list():
                return [inlined(each) for each in schema]
            case _:
                return schema

    definitions: dict[str, Any] = {}
    for name in (name for name in given if not name.startswith("__type")):
        new, each = _without_number(name), given[name]
        while _without_number(_target(each.get("$ref", ""))) == new:
            each = given[_target(each["$ref"])]
        definitions[new] = converted(inlined(each), refer)
    messages = source["properties"].items()
    return {name: converted(inlined(each), refer) for name, each in messages}, definitions


def _without_number(name: str) -> str:
    """Give one name for the names of a type; ``_InitializeParams`` would be that of another type in Python."""
    return re.sub(r"_\d+$", "", name.replace("_InitializeParams", "BaseInitializeParams"))


def reachable(procedures: Any, definitions: Any) -> dict[str, Any]:
    """Give the definitions that procedures refer to, and those that these refer to, in their order."""
    found: set[str] = set()
    left = [procedures]
    while left:
        names = {_target(each) for each in _references(left.pop())} - found
        found |= names
        left += [definitions[name] for name in names]
    return {name: each for name, each in definitions.items() if name in found}


def _references(value: Any) -> Iterator[str]:
    match value:
        case {"$ref": str(reference), **rest}:
            yield reference
            yield from _references(rest)
        case dict():
            for each in value.values():
                yield from _references(each)
        case list():
            for each in value:
                yield from _references(each)
        case _:
            pass


def _target(reference: str) -> str:
    """Give the name of the definition that a reference points to."""
    return unquote(reference.rpartition("/")[2])


def text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


COLLECTIONS = {
    "acp": acp,
    "cdp": cdp,
    "cyclonedx": cyclonedx,
    "debug": debug,
    "github": github,
    "lsp": lsp,
    "mcp": mcp,
    "metamask": metamask,
    "obs": obs,
}


def judged(protocol: Any, examples: Iterable[Example]) -> Iterator[Example]:
    """Add to each example whether its schema accepts it."""
    judges = {name: validator(protocol, schema) for name, schema in schemas(protocol)}
    for each in examples:
        accepted = judges[f"{each['procedure']} {each['slot']}"].is_valid(each["value"])
        yield {
            **{key: each[key] for key in each if key != "value"},
            "accepted": accepted,
            "value": each["value"],
        }


def selected(examples: Iterable[Example]) -> list[Example]:
    """Leave out what is long; for each slot, the shortest that is accepted stays."""
    kept: list[Example] = []
    seen: set[object] = set()
    for each in sorted(examples, key=lambda each: len(text(each))):
        slot, alike = (each["procedure"], each["slot"]), (each["name"], each["accepted"])
        only = each["accepted"] and slot not in seen
        if only or (alike not in seen and len(text(each)) < SHORT):
            kept.append(each)
            seen |= {slot, alike} if each["accepted"] else {alike}
    return sorted(
        kept, key=lambda each: (each["procedure"], each["slot"], each["name"], text(each))
    )


def main(name: str, *directories: str) -> None:
    made, examples = COLLECTIONS[name](*(Path(each) for each in directories))
    lines = json.dumps(made, ensure_ascii=False, indent=1)
    (HERE / "protocols" / f"{name}.json").write_text(lines + "\n", encoding="utf-8")
    if kept := selected(judged(made, examples)):
        lines = "".join(f"{text(each)}\n" for each in kept)
        (HERE / "examples" / f"{name}.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
