"""``python -m sacred.replayers``: the replayer process, and one run into one view by hand."""

from __future__ import annotations

import logging
import sys

_USAGE = """\
usage: python -m sacred.replayers serve
       python -m sacred.replayers once RUN --sink SPEC [--rebuild]
       python -m sacred.replayers follow RUN --sink SPEC

serve      take commands from standard input (an experiment's process starts it)
once       write a run's journal into a view, and end
follow     the same, and go on until the run has ended
RUN        a run's folder
SPEC       file:DIR, mongodb://host/db, package.module:MyObserver, ..., or a specification as JSON
Exit status: 0 done, 1 failed, 2 wrong use, 3 the view is behind.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run; returns the exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    if words == ["serve"]:
        return _serve()
    if len(words) >= 4 and words[0] in {"once", "follow"} and words[2] == "--sink":
        rebuild = words[4:] == ["--rebuild"]
        if rebuild or not words[4:]:
            return _by_hand(words[1], words[3], follow=words[0] == "follow", rebuild=rebuild)
    sys.stderr.write(_USAGE)
    return 0 if words in (["--help"], ["-h"]) else 2


def _serve() -> int:
    from sacred.replayers.serve import serve

    return serve(sys.stdin.buffer, sys.stdout.buffer)


def _by_hand(run: str, text: str, *, follow: bool, rebuild: bool) -> int:
    import json

    from sacred.journal.errors import JournalError
    from sacred.journal.root import JournalRoot, RunFolder
    from sacred.replayers.errors import SinkError
    from sacred.replayers.replay import replay
    from sacred.replayers.sink import SinkSpec

    try:
        folder = RunFolder.at(run)
        spec = SinkSpec.from_wire(json.loads(text)) if text.startswith("{") else text
        root = JournalRoot(folder.path.parent)
        summary = replay(root, [folder], [spec], follow=follow, rebuild=rebuild)
    except (SinkError, JournalError) as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except ValueError as error:
        sys.stderr.write(f"the specification is no JSON: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 0
    for outcome in summary.outcomes:
        line = f"run {outcome.run} -> {outcome.view}: {outcome.state}"
        if outcome.view_id is not None:
            line += f" as {outcome.view_id}"
        sys.stdout.write(f"{line}{': ' + outcome.error if outcome.error else ''}\n")
    return summary.exit_code


if __name__ == "__main__":
    sys.exit(main())
