"""Recording what is no number: the events of texts, pictures, arrays and histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sacred.core.fork import IMPORTING
from sacred.journal.digests import load_openssl
from sacred.journal.events import EventType

if TYPE_CHECKING:
    from sacred.core.pictures import Picture
    from sacred.journal.blobs import BlobStore

__all__ = ["SeriesRecorder"]

#: Longer texts, and arrays of more bytes, are blobs: who reads the journal for its metrics does not
#: read them along.
_TEXT_BYTES = 16 * 1024
_ARRAY_BYTES = 4 * 1024


class SeriesRecorder:
    """The part of the recorder that knows series. No method raises because of the disk."""

    if TYPE_CHECKING:
        _blobs: BlobStore

        def _append(self, event_type: EventType, **fields: Any) -> None: ...
        def _fault(self, error: OSError) -> None: ...

    def text(self, name: str, step: Any, text: str) -> None:
        """Record a text; what is no Unicode in it stays as it is."""
        self._append(EventType.TEXT_LOGGED, name=name, step=step, **self._text(text))

    def _text(self, text: str) -> dict[str, Any]:
        if len(text) <= _TEXT_BYTES // 4:
            return {"text": text}
        content = text.encode("utf-8", "surrogatepass")
        return {"text": text} if len(content) <= _TEXT_BYTES else self._stored(content, "text")

    def image(self, name: str, step: Any, picture: Picture, caption: str | None) -> None:
        """Record an image file."""
        stored = self._stored(picture.content, "image")
        if "blob" not in stored:
            return
        self._append(
            EventType.IMAGE_LOGGED,
            name=name,
            step=step,
            content_type=picture.content_type,
            width=picture.width,
            height=picture.height,
            caption=caption,
            **stored,
        )

    def array(self, name: str, step: Any, array: Any) -> None:
        """Record an array of numpy, by its bytes."""
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        content = little.tobytes("C")
        stored = {"data": content} if len(content) <= _ARRAY_BYTES else {}
        self._append(
            EventType.ARRAY_LOGGED,
            name=name,
            step=step,
            dtype=little.dtype.str,
            shape=list(little.shape),
            **(stored or self._stored(content, "array")),
        )

    def histogram(self, name: str, step: Any, edges: list[float], counts: list[int]) -> None:
        """Record a histogram."""
        self._append(EventType.HISTOGRAM_LOGGED, name=name, step=step, edges=edges, counts=counts)

    def _stored(self, content: bytes, what: str) -> dict[str, Any]:
        """Store a content as a blob; nothing if the disk does not take it."""
        with IMPORTING:
            load_openssl()
        try:
            return {"blob": self._blobs.put_bytes(content).blob.to_wire()}
        except OSError as error:
            self._fault(error)
            text = f"the content of this {what} is lost: {error.strerror or error}"
            self._append(EventType.MESSAGE, level="error", text=text, source="sacred")
            return {}
