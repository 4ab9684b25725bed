"""NVIDIA's graphics cards: what they are, and how much they are used.

The driver's own program is asked, with a time limit: its library would hang with the driver.
"""

from __future__ import annotations

from typing import Any

from sacred.core.fork import IMPORTING
from sacred.core.programs import ask_program
from sacred.journal.named_tuple import NamedTuple

__all__ = ["GpuUse", "gpu_use", "gpus_of_machine"]

#: Seconds that the program may take for a sample.
_SAMPLE_TIMEOUT = 5.0
_MIB = 1 << 20


class GpuUse(NamedTuple):
    """How much of a card is in use.

    Attributes
    ----------
    number
        As the driver counts.
    percent
        Of the time since the driver looked last; None if it does not tell.
    memory
        Bytes; None if it does not tell.
    """

    number: int
    percent: float | None
    memory: int | None


def gpus_of_machine(program: str) -> dict[str, Any] | None:
    """Return the driver's version and the model and memory of each card.

    Parameters
    ----------
    program
        The driver's program.

    Returns
    -------
    dict or None
        ``driver_version`` and ``gpus``, a list of ``model``, ``total_memory`` (MiB) and
        ``persistence_mode``. None if the driver does not answer in time, or not as it should.
    """
    text = ask_program([program, "-q", "-x"])
    if not text:
        return None
    with IMPORTING:
        import xml.etree.ElementTree as ET

    try:
        root = ET.fromstring(text)  # noqa: S314 (the driver's own program wrote it)
        return {
            "driver_version": root.findtext("driver_version"),
            "gpus": [
                {
                    "model": gpu.findtext("product_name"),
                    "total_memory": int((gpu.findtext("fb_memory_usage/total") or "").split()[0]),
                    "persistence_mode": gpu.findtext("persistence_mode") == "Enabled",
                }
                for gpu in root.iter("gpu")
            ],
        }
    except (ET.ParseError, ValueError, IndexError):
        return None


def gpu_use(program: str) -> list[GpuUse] | None:
    """Return how much the cards are used; None if the driver does not answer, or not as it should.

    Parameters
    ----------
    program
        The driver's program.
    """
    query = "--query-gpu=index,utilization.gpu,memory.used"
    text = ask_program([program, query, "--format=csv,noheader,nounits"], _SAMPLE_TIMEOUT)
    if text is None:
        return None
    found = []
    for line in text.splitlines():
        words = [word.strip() for word in line.split(",")]
        # Anything but three words is no answer to the question; a word may be "[N/A]".
        if len(words) != 3 or not words[0].isdecimal():
            return None
        percent, mebibytes = _number(words[1]), _number(words[2])
        memory = None if mebibytes is None else int(mebibytes * _MIB)
        found.append(GpuUse(int(words[0]), percent, memory))
    return found


def _number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
