"""Lanes: columns of 64-bit numbers, as differences, in planes of bytes.

Each number is taken as 64 bits, replaced by its difference from the one before, zigzagged, and the
bytes are laid out plane by plane: all first bytes, all second bytes, ... That is what zstd
compresses best (random walk: 7.2 bytes a value against 8 as it stands, learning rates 5.3 against
6.3), and the arithmetic is done on one long Python integer, so that it costs 10 us for 128 rows
without numpy.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

_MASK = (1 << 64) - 1
#: Masks for so many rows are worth their memory (48 bytes a row).
_KEPT_MASKS = 1024
#: So many numbers are decoded in one go: what stays in a processor's cache (8 bytes each).
_AT_ONCE = 1 << 16
#: One column of so many rows is turned round at once, in 6 us for 32 rows and 25 us for 1,000;
#: what many columns are worth, plane by plane, would cost it 15 us more.
_FEW = 4096


class Masks(NamedTuple):
    """Bits of so many lanes."""

    #: The lowest of each, the highest, and all but the highest.
    low: int
    high: int
    low63: int
    #: What a quotient has where a table's times are divided, and what lies beyond its dividend.
    quotient: int
    beyond: int


def masks_of(rows: int) -> Masks:
    """Return the masks for so many lanes."""
    return _kept_masks(rows) if rows <= _KEPT_MASKS else _new_masks(rows)


def _new_masks(rows: int) -> Masks:
    low = int.from_bytes(b"\1\0\0\0\0\0\0\0" * rows, "little")
    high = low << 63
    quotient, beyond = low * ((1 << 25) - 1), low * (_MASK ^ ((1 << 32) - 1))
    return Masks(low, high, high - low, quotient, beyond)


_kept_masks = lru_cache(maxsize=256)(_new_masks)


def encode_lanes(raw: bytes) -> bytes:
    """Difference, zigzag and split 64-bit little-endian lanes."""
    return encode_long(int.from_bytes(raw, "little"), len(raw) // 8)


def encode_long(value: int, rows: int) -> bytes:
    """Do so with lanes that stand in one integer."""
    low, high, low63, _, _ = masks_of(rows)
    previous = value << 64  # one lane more, which is masked or cut below
    delta = value - (previous & (low63 | high))
    if (value | delta) & high:
        # Lane-wise subtraction without borrows crossing lanes (SWAR). The highest bits come out
        # wrong, and are no part of the number: they say its sign.
        delta = (value | high) - (previous & low63)
        sign = ((delta ^ value ^ previous ^ high) >> 63) & low
        delta = ((delta & low63) << 1) ^ ((sign << 64) - sign)
    else:
        delta <<= 1  # nothing fell, as steps and times seldom do: no borrow, and no sign
    lanes = delta.to_bytes(8 * rows, "little")
    return b"".join([lanes[plane::8] for plane in range(8)])


def decode_plainly(planes: bytes) -> list[int]:
    """Undo ``encode_lanes`` without numpy; unsigned 64-bit numbers."""
    rows = len(planes) // 8
    if not rows:
        return []
    lanes = bytearray(8 * rows)
    for plane in range(8):
        lanes[plane::8] = planes[plane * rows : (plane + 1) * rows]
    # All zigzags at once, in one integer: a lane whose lowest bit is set is turned over.
    low, _, low63, _, _ = masks_of(rows)
    zigzags = int.from_bytes(lanes, "little")
    odd = zigzags & low
    deltas = ((zigzags >> 1) & low63) ^ ((odd << 64) - odd)
    totals = list(accumulate(struct.unpack(f"<{rows}q", deltas.to_bytes(8 * rows, "little"))))
    try:
        struct.pack(f"<{rows}Q", *totals)
    except struct.error:  # values whose sign changes; few others do
        return [total & _MASK for total in totals]
    return totals


def decode_together(columns: Sequence[bytes], rows: int) -> npt.NDArray[Any]:
    """Undo ``encode_lanes`` with numpy, for columns of one length.

    Parameters
    ----------
    columns
        The bytes of each, 8 for each row.
    rows
        How many rows each has.

    Returns
    -------
    Unsigned 64-bit lanes, a table a row; grouped by metric, as they stand.
    """
    import numpy as np

    if len(columns) == 1 and rows <= _FEW:
        found = np.frombuffer(columns[0], np.uint8).reshape(8, rows).T.copy().view("<u8").ravel()
        found = (found >> 1) ^ (0 - (found & 1))
        return np.cumsum(found, dtype="<u8").reshape(1, rows)
    lanes = np.zeros((len(columns), rows), "<u8")
    at_once = max(1, _AT_ONCE // rows)
    for at in range(0, len(columns), at_once):
        part = np.frombuffer(b"".join(columns[at : at + at_once]), np.uint8).reshape(-1, 8, rows)
        found = lanes[at : at + at_once]
        places = found.view(np.uint8).reshape(len(part), rows, 8)
        places[:, 0] = part[:, :, 0]
        for plane in range(8):
            # Of steps and times most planes are empty but for the first row.
            if part[:, plane, 1:].any():
                places[:, 1:, plane] = part[:, plane, 1:]
        sign = found & np.uint64(1)
        np.negative(sign, out=sign)
        found >>= np.uint64(1)
        found ^= sign
        np.cumsum(found, axis=1, out=found)
    return lanes
