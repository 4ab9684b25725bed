"""The registry of events in forms for people and programs: a Markdown table, a JSON document."""

from __future__ import annotations

from typing import Any

from sacred.journal.events import FIRST_IGNORABLE, FORMAT, MIN_READER, SCHEMAS, SEQLESS

#: What a value of each kind is, by the types of msgpack and the extensions of the format.
KINDS = {
    "int": "integer (also extension 1)",
    "float": "float, or an integer",
    "str": "text (also extension 9)",
    "bytes": "bytes",
    "bool": "boolean",
    "list": "array",
    "map": "map",
    "time": "integer: ns since 1970 UTC; may be negative",
    "blob": "map of algorithm (str), digest (str), size (int), encoding (str; identity if absent)",
    "name": "text, which defines the next number of its frame (0, 1, ...), or such a number",
    "column": "array [code, bytes]: 8 bytes a row; code 0 is int64, 1 is float64",
    "any": "any value, also extensions and nil",
}


def events_table(document: dict[str, Any] | None = None) -> str:
    """Return the section of ``docs/journal-format.md`` that lists every event type and field.

    Parameters
    ----------
    document
        What ``docs/journal-events.json`` holds; the registry of this version if None.
    """
    document = document or schema_document()
    lines = []
    for event in document["events"]:
        marks = [
            "written before the call returns" if event["control"] else "may wait 10 ms",
            *([] if event["seq"] else ["has no seq"]),
            *(["may be skipped"] if event["number"] >= document["first_ignorable"] else []),
        ]
        lines += [
            f"#### {event['number']} {event['name']}",
            "",
            f"{event['doc']} ({'; '.join(marks)})",
            "",
            "| key | name | kind | | what |",
            "|---|---|---|---|---|",
        ]
        for field in event["fields"]:
            need = "always" if field["required"] else ""
            cells = f"{field['name']} | {field['kind']} | {need} | {field['doc']}"
            lines.append(f"| `{field['key']}` | {cells} |")
        lines.append("")
    return "\n".join(lines)


def schema_document() -> dict[str, Any]:
    """Return the registry as plain data: what ``docs/journal-events.json`` holds."""
    return {
        "format": FORMAT,
        "min_reader": MIN_READER,
        "first_ignorable": FIRST_IGNORABLE,
        "every_event": {"t": "time", "e": "int"},
        "every_value": "may stand as extension 8 (kept as a blob) or 7 (text in its place)",
        "kinds": dict(KINDS),
        "events": [
            {
                "number": number,
                "name": schema.type.name.lower(),
                "control": schema.control,
                "seq": number not in SEQLESS,
                "doc": schema.doc,
                "fields": [field._asdict() for field in schema.fields],
            }
            for number, schema in sorted(SCHEMAS.items())
        ],
    }


def schema_json() -> str:
    """Return the text of ``docs/journal-events.json``."""
    import json

    return json.dumps(schema_document(), indent=1, ensure_ascii=False) + "\n"
