"""Pictures: what ``log_image`` takes, and how it becomes the bytes of an image file."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

from sacred.core.metrics import MetricError
from sacred.journal.named_tuple import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Picture", "numpy_array", "picture_of"]

#: How files begin, and their media types.
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
)
#: Colour types of PNG by the number of channels: grey, grey and alpha, RGB, RGBA.
_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
#: Channels that come first are told from rows that few pictures have.
_FEW = frozenset(_COLOURS)


class Picture(NamedTuple):
    """An image file.

    Attributes
    ----------
    content
        Its bytes.
    content_type
        Its media type.
    width, height
        Pixels, where they are easily told.
    """

    content: bytes
    content_type: str
    width: int | None = None
    height: int | None = None


def picture_of(image: Any, name: str) -> Picture:
    """Return the image file of anything that is a picture.

    Parameters
    ----------
    image
        The bytes of an image file, or its path: kept as they are. An array of rows, columns and up
        to four channels (also with the channels first), of bytes, truths or floats from 0 to 1. A
        figure of matplotlib, a picture of Pillow, or whatever shows itself as PNG in a notebook.
    name
        For the error's sentence.

    Raises
    ------
    MetricError
        It is none of these.
    FileNotFoundError
        There is no file of this name.
    """
    if isinstance(image, (bytes, bytearray, memoryview)):
        return _known(bytes(image), name)
    if isinstance(image, (str, os.PathLike)):
        from sacred.journal.snapshot import Snapshot

        with open(image, "rb") as file:
            return _known(Snapshot(file).read(), name)
    if hasattr(image, "savefig") or hasattr(image, "get_figure"):
        figure = image if hasattr(image, "savefig") else image.get_figure()
        return _known(_saved(lambda file: figure.savefig(file, format="png")), name)
    if hasattr(image, "_repr_png_"):
        content = image._repr_png_()
        if content is not None:
            return _known(bytes(content), name)
    if hasattr(image, "save") and hasattr(image, "mode"):  # of Pillow, in a mode that PNG has not
        return _known(_saved(lambda file: image.convert("RGBA").save(file, "PNG")), name)
    return _png(numpy_array(image, name, "log_image"), name)


def _saved(save: Callable[[Any], object]) -> bytes:
    import io

    file = io.BytesIO()
    save(file)
    return file.getvalue()


def _known(content: bytes, name: str) -> Picture:
    for start, kind in _KINDS:
        if content.startswith(start):
            return Picture(content, kind, *_size(content, kind))
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return Picture(content, "image/webp")
    if b"<svg" in content[:1024]:
        return Picture(content, "image/svg+xml")
    raise MetricError(
        f"The image {name!r} is no PNG, JPEG, GIF, WebP, BMP, TIFF or SVG file. "
        "Add other files as artifacts."
    )


def _size(content: bytes, kind: str) -> tuple[int, int] | tuple[()]:
    """Return width and height; nothing where they are not told, or not whole."""
    try:
        if kind == "image/png":
            width, height = struct.unpack_from(">II", content, 16)
        elif kind == "image/gif":
            width, height = struct.unpack_from("<HH", content, 6)
        elif kind == "image/jpeg":
            height, width = _jpeg_size(content)
        else:
            return ()
    except (struct.error, ValueError):
        return ()
    return width, height


def _jpeg_size(content: bytes) -> tuple[int, int]:
    at = 2
    while True:
        mark, code, length = struct.unpack_from(">BBH", content, at)
        if mark != 0xFF:
            raise ValueError
        if 0xC0 <= code <= 0xCF and code not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, at + 5)
            return height, width
        at += 2 + length


def numpy_array(value: Any, name: str, call: str) -> Any:
    """Return a numpy array of numbers.

    Parameters
    ----------
    value
        An array or tensor of any library, or nested lists.
    name, call
        For the error's sentence.

    Raises
    ------
    MetricError
        It is no array of numbers, or numpy is not installed.
    """
    try:
        import numpy as np
    except ImportError as error:
        raise MetricError(f"{call} needs numpy, which is not installed.") from error
    try:
        for step in ("detach", "cpu"):  # of PyTorch's tensors
            value = getattr(value, step)() if hasattr(value, step) else value
        array = np.asarray(value)
    except Exception as error:  # of any library
        raise _no_array(value, name, call) from error
    if array.dtype.kind not in "biufc":
        raise _no_array(value, name, call)
    return array


def _no_array(value: object, name: str, call: str) -> MetricError:
    return MetricError(
        f"{call}({name!r}, ...) takes an array of numbers, not this {type(value).__name__}."
    )


def _png(array: Any, name: str) -> Picture:
    """Encode rows, columns and channels; lossless."""
    import zlib

    array = _pixels(array, name)
    height, width, channels = array.shape
    rows = array.tobytes()
    stride = width * channels
    lines = b"".join(b"\0" + rows[at : at + stride] for at in range(0, height * stride, stride))
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b""))
    return Picture(b"\x89PNG\r\n\x1a\n" + b"".join(parts), "image/png", width, height)


def _pixels(array: Any, name: str) -> Any:
    import numpy as np

    shape = array.shape
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3 and shape[2] not in _FEW and shape[0] in _FEW:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in _FEW or not array.size:
        raise MetricError(
            f"The image {name!r} has the shape {shape}: it is (rows, columns), or that with 1 to 4 "
            "channels behind or in front."
        )
    kind = array.dtype.kind
    low, high = array.min(), array.max()
    most = 1 if kind == "f" else 255
    # Not a number is not between two others.
    if kind == "c" or not (low >= 0 and high <= most):
        raise MetricError(
            f"The image {name!r} has values from {low} to {high}: they are bytes (0 to 255), floats "
            "from 0 to 1, or truths."
        )
    if kind == "b":
        return array.astype(np.uint8) * np.uint8(255)
    if kind == "f":
        return np.rint(array * 255).astype(np.uint8)
    return np.ascontiguousarray(array.astype(np.uint8))
