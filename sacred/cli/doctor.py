"""The command ``sacred doctor``: what is wrong here, and what to do about it."""

from __future__ import annotations

import click

from sacred.cli import terminal
from sacred.cli.options import json_option, print_lines, root_option

__all__ = ["doctor"]

_COLOURS = {"ok": "green", "behind": "yellow", "wrong": "red"}


@click.command()
@click.option("--deep", is_flag=True, help="Read every event and stored file, too.")
@json_option
@root_option
def doctor(deep: bool, as_json: bool, root: str | None) -> int:
    """Look what is wrong here, and say what to do about it.

    Packages, root, rights, disk, clocks, locks, runs that died or are damaged, views that are
    behind or failed, what kills left. Nothing is changed. Exit code 0 if all is well, 1 if
    something is wrong, 3 if only views are behind.
    """
    from sacred.analysis.diagnosis import diagnose, exit_code

    bar = terminal.Progress()
    try:
        findings = diagnose(root, deep=deep, progress=bar.draw)
    finally:
        bar.close()
    if as_json:
        from sacred.replayers.jsontext import to_json

        print(to_json([finding._asdict() for finding in findings], indent=2))
        return exit_code(findings)
    width = max(len(finding.area) for finding in findings)
    for finding in findings:
        level = terminal.paint(f"{finding.level:<6}", _COLOURS[finding.level])
        lines = [f"{level}  {finding.area:<{width}}  {terminal.clean(finding.text)}"]
        if finding.remedy is not None:
            lines.append(f"{'':<{width + 10}}{terminal.clean(finding.remedy)}")
        print_lines(lines)
    return exit_code(findings)
