"""Logging what is no number: ``log_text``, ``log_dict``, ``log_image``, ``log_array``, ``log_histogram``.

As with metrics, what is logged under one name is a series, and each entry of it has a step.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sacred.core.metrics import MetricError, next_step

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SeriesLogging"]

#: The most bars of a histogram: two lists of numbers in one event.
_MOST_BINS = 10_000


class SeriesLogging:
    """The part of a run that logs texts, pictures and arrays, in its own process or in a worker.

    What was logged is in the journal, and survives the process, when a call returns.
    """

    if TYPE_CHECKING:

        def _record_file(self, kind: str, *arguments: Any) -> None: ...
        def _folder_for_contents(self) -> str: ...
        def _tell(self, event: str, **arguments: Any) -> None: ...

    def log_text(self, name: str, text: str, step: Any = None) -> None:
        """Record a text, such as a sample of what a model writes.

        Parameters
        ----------
        name
            Of the series.
        text
            Of any length.
        step
            A number; one more than the last of this name by default, beginning with 0.

        Raises
        ------
        MetricError
            It is no text.
        """
        if not isinstance(text, str):
            raise MetricError(
                f"log_text({name!r}, ...) takes a text, not {type(text).__name__}: log_dict takes "
                "dictionaries and lists, log_array arrays."
            )
        self._record_file("text", name, self._step(name, step), str.__str__(text))

    def log_dict(self, name: str, value: Any, step: Any = None) -> None:
        """Record a dictionary or list, as JSON.

        Arrays in it become lists, other objects text that names them; numbers that are not finite
        are the texts "NaN", "Infinity" and "-Infinity".

        Parameters
        ----------
        name
            Of the series.
        value
            The dictionary.
        step
            A number; one more than the last of this name by default, beginning with 0.

        Raises
        ------
        MetricError
            It is no dictionary and no list, or contains itself.
        """
        if not isinstance(value, (dict, list, tuple)):
            raise MetricError(
                f"log_dict({name!r}, ...) takes a dictionary or a list, not "
                f"{type(value).__name__}: log_scalar takes numbers, log_text texts."
            )
        text = _json(value, name)
        self._record_file("text", name, self._step(name, step), text)

    def log_image(
        self,
        name: str,
        image: Any,
        step: Any = None,
        caption: str | None = None,
    ) -> None:
        """Record a picture. Views show it as the artifact ``NAME/STEP.png``.

        Parameters
        ----------
        name
            Of the series.
        image
            An array of rows and columns, with one to four channels behind or in front: bytes, floats
            from 0 to 1, or truths. A figure of matplotlib, a picture of Pillow. The path of an image
            file, or its bytes.
        step
            A number; one more than the last of this name by default, beginning with 0.
        caption
            What it shows.

        Raises
        ------
        MetricError
            It is no picture.
        FileNotFoundError
            There is no file of this name.
        """
        from sacred.core.pictures import picture_of

        picture = picture_of(image, name)
        step = self._step(name, step)
        self._record_file("image", name, step, picture, caption)
        if getattr(self, "_listeners", None):
            from sacred.journal.media import picture_name

            kind = picture.content_type
            path = os.path.join(self._folder_for_contents(), picture_name("image", "", kind))
            os.makedirs(os.path.dirname(path))
            with open(path, "wb") as file:
                file.write(picture.content)
            self._tell(
                "artifact_event",
                name=picture_name(name, step, kind),
                filename=path,
                metadata=None,
                content_type=kind,
            )

    def log_array(self, name: str, array: Any, step: Any = None) -> None:
        """Record an array of numbers, bit for bit.

        Parameters
        ----------
        name
            Of the series.
        array
            One of numpy, a tensor of any library, or nested lists.
        step
            A number; one more than the last of this name by default, beginning with 0.

        Raises
        ------
        MetricError
            It is no array of numbers, or numpy is not installed.
        """
        from sacred.core.pictures import numpy_array

        found = numpy_array(array, name, "log_array")
        self._record_file("array", name, self._step(name, step), found)

    def log_histogram(
        self, name: str, values: Any, step: Any = None, bins: int | Sequence[float] = 64
    ) -> None:
        """Record how numbers are spread. Those that are not finite are left out.

        Parameters
        ----------
        name
            Of the series.
        values
            An array of any shape, a tensor, or a list.
        step
            A number; one more than the last of this name by default, beginning with 0.
        bins
            How many bars of equal width, or their bounds.

        Raises
        ------
        MetricError
            It is no array of numbers, numpy is not installed, or ``bins`` are none.
        """
        from sacred.core.pictures import numpy_array

        found = numpy_array(values, name, "log_histogram")
        counts, edges = _histogram(found, name, bins)
        self._record_file("histogram", name, self._step(name, step), edges, counts)

    def _step(self, name: str, step: Any) -> Any:
        steps: dict[str, Any] = self.__dict__.setdefault("_series_steps", {})
        return next_step(steps, name, step)


def _json(value: Any, name: str) -> str:
    import json

    from sacred.core.config.plain import plain_value

    try:
        return json.dumps(_finite(plain_value(value)), indent=2, ensure_ascii=False)
    except (RecursionError, ValueError) as error:
        raise MetricError(
            f"What log_dict({name!r}, ...) was given contains itself, or is nested too deeply."
        ) from error


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        text = {float("inf"): "Infinity", float("-inf"): "-Infinity"}.get(value)
        return text or ("NaN" if value != value else value)  # noqa: PLR0124 - so is NaN alone
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


def _histogram(array: Any, name: str, bins: Any) -> tuple[list[int], list[float]]:
    import numpy as np

    if array.dtype.kind == "c":
        raise MetricError(f"log_histogram({name!r}, ...) takes real numbers, not complex ones.")
    numbers = array.astype(float).ravel()
    numbers = numbers[np.isfinite(numbers)]
    try:
        counts, edges = np.histogram(numbers, bins)
    except (TypeError, ValueError, OverflowError) as error:
        raise MetricError(
            f"The bins of log_histogram({name!r}, ...) are {bins!r}: give how many, or their "
            "bounds, each above the one before."
        ) from error
    if len(counts) > _MOST_BINS:
        raise MetricError(
            f"log_histogram({name!r}, ...) was to have {len(counts)} bins: {_MOST_BINS} at most."
        )
    return counts.tolist(), edges.tolist()
