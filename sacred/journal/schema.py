"""The registry of events in forms for people and programs: a Markdown table, a JSON document."""

from __future__ import annotations

from typing import Any

from sacred.journal.events import FIRST_IGNORABLE, FORMAT, MIN_READER, SCHEMAS, SEQLESS


def events_table() -> str:
    """Return the section of ``docs/journal-format.md`` that lists every event type and field."""
    lines = []
    for number, schema in sorted(SCHEMAS.items()):
        marks = [
            "written before the call returns" if schema.control else "may wait 10 ms",
            *(["has no seq"] if number in SEQLESS else []),
            *(["may be skipped"] if number >= FIRST_IGNORABLE else []),
        ]
        lines += [
            f"#### {number} {schema.type.name.lower()}",
            "",
            f"{schema.doc} ({'; '.join(marks)})",
            "",
            "| key | name | kind | | what |",
            "|---|---|---|---|---|",
        ]
        for field in schema.fields:
            need = "always" if field.required else ""
            lines.append(f"| `{field.key}` | {field.name} | {field.kind} | {need} | {field.doc} |")
        lines.append("")
    return "\n".join(lines)


def schema_document() -> dict[str, Any]:
    """Return the registry as plain data: what ``docs/journal-events.json`` holds."""
    return {
        "format": FORMAT,
        "min_reader": MIN_READER,
        "first_ignorable": FIRST_IGNORABLE,
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
