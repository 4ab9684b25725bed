"""Logging texts, dictionaries, pictures, arrays and histograms."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
import pytest

from sacred import Experiment
from sacred.core.metrics import MetricError
from sacred.core.pictures import picture_of
from sacred.core.run import Run
from sacred.core.settings import SETTINGS
from sacred.journal.blobs import BlobStore
from sacred.journal.codec import BlobReference
from sacred.journal.reader import JournalReader
from sacred.journal.root import RunFolder
from sacred.replayers.projection import RunProjection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sacred.journal.events import Event


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SACRED_JOURNAL_ROOT", raising=False)
    monkeypatch.setitem(SETTINGS, "CAPTURE_MODE", "sys")


def _run(main: Callable[[Run], Any], *observers: Any) -> Run:
    ex = Experiment("series", save_git_info=False)
    ex.observers += observers
    ex.main(lambda _run: main(_run))
    return ex.run()


def _logged(run: Run) -> list[Event]:
    return [e for e in JournalReader(str(run.folder)).read() if e.name.endswith("_logged")]


def _blob(run: Run, fields: dict[str, Any]) -> bytes:
    reference = BlobReference.from_wire(fields["blob"])
    assert reference is not None
    return BlobStore(RunFolder.at(str(run.folder)).root.blobs).read(reference.digest)


def _decoded(png: bytes) -> np.ndarray:
    """Decode a PNG of 8 bits and no filters, as a reader without Pillow would."""
    width, height, _, colour = struct.unpack_from(">IIBB", png, 16)
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[colour]
    size = struct.unpack_from(">I", png, 33)[0]
    rows = np.frombuffer(zlib.decompress(png[41 : 41 + size]), np.uint8)
    return rows.reshape(height, 1 + width * channels)[:, 1:].reshape(height, width, channels)


# -- texts and dictionaries -----------------------------------------------------------------------


def test_texts_have_steps() -> None:
    """Steps are counted by name, as those of metrics; a long text is a blob."""
    long = "ä" * 20_000

    def main(run: Run) -> None:
        run.log_text("sample", "first")
        run.log_text("sample", "second", 10)
        run.log_text("sample", long)
        run.log_text("other", "x", 0.5)
        run.log_text("odd", "\udcff\n")

    run = _run(main)
    fields = [event.fields for event in _logged(run)]
    assert [("sample", 0), ("sample", 10), ("sample", 11), ("other", 0.5), ("odd", 0)] == [
        (entry["name"], entry["step"]) for entry in fields
    ]
    assert ["first", "second", None, "x", "\udcff\n"] == [entry.get("text") for entry in fields]
    assert long == _blob(run, fields[2]).decode()


def test_a_dictionary_is_json() -> None:
    """Arrays, tuples, numpy's numbers and numbers that are not finite: what comes back is valid JSON."""
    value = {
        "a": np.arange(3),
        "b": (1, np.float32(0.5), None, True),
        "c": {"nan": float("nan"), "inf": [float("inf"), float("-inf")]},
        "ö": "text",
    }
    run = _run(lambda run: run.log_dict("report", value))
    (event,) = _logged(run)
    assert {
        "a": [0, 1, 2],
        "b": [1, 0.5, None, True],
        "c": {"nan": "NaN", "inf": ["Infinity", "-Infinity"]},
        "ö": "text",
    } == json.loads(event.fields["text"])


def test_what_is_no_text_and_no_dictionary() -> None:
    """The sentence names the call that takes it; nothing is recorded, and no step is used up."""
    circle: list[Any] = []
    circle.append(circle)

    def main(run: Run) -> None:
        with pytest.raises(MetricError, match="log_dict takes"):
            run.log_text("t", {"a": 1})  # type: ignore[arg-type]
        with pytest.raises(MetricError, match="log_scalar takes numbers"):
            run.log_dict("t", 1.5)
        with pytest.raises(MetricError, match="contains itself"):
            run.log_dict("t", circle)
        with pytest.raises(MetricError, match="Steps are numbers"):
            run.log_text("t", "x", "one")
        with pytest.raises(MetricError, match="name of a metric is a text"):
            run.log_text(3, "x")  # type: ignore[arg-type]
        run.log_text("t", "x")

    assert [0] == [event.fields["step"] for event in _logged(_run(main))]


# -- pictures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pixels_come_back(channels: int) -> None:
    """An array of bytes is encoded without loss, with the channels behind or in front."""
    pixels = np.random.default_rng(3).integers(0, 256, (5, 7, channels), np.uint8)
    for given in (pixels, np.ascontiguousarray(pixels.transpose(2, 0, 1)), pixels.astype(int)):
        picture = picture_of(given, "p")
        assert ("image/png", 7, 5) == (picture.content_type, picture.width, picture.height)
        assert (pixels == _decoded(picture.content)).all()


def test_floats_truths_lists_and_tensors() -> None:
    """Floats from 0 to 1 are scaled, truths are black and white; nested lists and tensors count."""

    class Tensor:
        def detach(self) -> Tensor:
            return self

        def cpu(self) -> np.ndarray:
            return np.array([[0.0, 1.0]])

    assert [[0, 255]] == _decoded(picture_of(np.array([[0.0, 1.0]]), "p").content)[..., 0].tolist()
    assert [[128]] == _decoded(picture_of([[0.5]], "p").content)[..., 0].tolist()
    assert [[255, 0]] == _decoded(picture_of([[True, False]], "p").content)[..., 0].tolist()
    assert [[0, 255]] == _decoded(picture_of(Tensor(), "p").content)[..., 0].tolist()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x0b\x08\x00\x03\x00\x05\x01", "image/jpeg"),
        (b"GIF89a\x05\x00\x03\x00", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"BM\0\0", "image/bmp"),
        (b"II*\0", "image/tiff"),
        (b'<?xml version="1.0"?><svg xmlns="x"/>', "image/svg+xml"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"\xff\xd8\xff", "image/jpeg"),
    ],
)
def test_files_are_kept_as_they_are(content: bytes, kind: str, tmp_path: Path) -> None:
    """Bytes and paths of image files; the size of it where that is easily told, also of broken ones."""
    (tmp_path / "file").write_bytes(content)
    for given in (content, memoryview(content), tmp_path / "file", str(tmp_path / "file")):
        picture = picture_of(given, "p")
        assert (content, kind) == (picture.content, picture.content_type)
        told = kind in {"image/gif", "image/jpeg"} and len(content) > 8
        assert ((5, 3) if told else (None, None)) == (picture.width, picture.height)


def test_figures_and_pictures_of_libraries() -> None:
    """matplotlib's figures and axes, and Pillow's pictures in any mode."""
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 1), dpi=50)
    axes = figure.subplots()
    for given in (figure, axes):
        assert (50, 50) == picture_of(given, "p")[2:]
    image = pytest.importorskip("PIL.Image")
    for mode in ("RGB", "F", "CMYK", "1"):
        assert ("image/png", 4, 3) == picture_of(image.new(mode, (4, 3)), "p")[1:]


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (b"text", "no PNG, JPEG"),
        (np.zeros(3), r"has the shape \(3,\)"),
        (np.zeros((5, 5, 7)), "1 to 4 channels"),
        (np.zeros((0, 2)), "has the shape"),
        (np.array([[2.0]]), "floats from 0 to 1"),
        (np.array([[float("nan")]]), "floats from 0 to 1"),
        (np.array([[300]]), "bytes"),
        (np.array([[1j]]), "bytes"),
        (np.array([["a"]]), "takes an array of numbers"),
        (object(), "takes an array of numbers, not this object"),
    ],
)
def test_what_is_no_picture(image: object, sentence: str) -> None:
    """A sentence names the series and says what it takes."""
    with pytest.raises(MetricError, match=sentence) as caught:
        picture_of(image, "face")
    assert "face" in str(caught.value)


def test_a_path_that_is_not_there() -> None:
    """FileNotFoundError in the call."""
    with pytest.raises(FileNotFoundError):
        picture_of("nothing.png", "p")


def test_pictures_are_recorded_and_shown_as_artifacts() -> None:
    """The journal has name, step, size, caption and the file; views and observers an artifact NAME/STEP.png."""
    observer = mock.Mock(priority=0)
    observer.started_event.return_value = None
    pixels = np.zeros((2, 3), np.uint8)

    def main(run: Run) -> None:
        run.log_image("faces", pixels, caption="none")
        run.log_image("faces", pixels, 7)

    run = _run(main, observer)
    first, second = (event.fields for event in _logged(run))
    assert ("faces", 0, "image/png", 3, 2, "none") == tuple(
        first[name] for name in ("name", "step", "content_type", "width", "height", "caption")
    )
    assert (7, None) == (second["step"], second.get("caption"))
    assert (2, 3, 1) == _decoded(_blob(run, first)).shape
    projection = RunProjection()
    for event in JournalReader(str(run.folder)).read():
        projection.apply(event)
    shown = projection.document()["artifacts"]
    assert ["faces/0.png", "faces/7.png"] == [entry.name for entry in shown]
    assert [{"caption": "none"}, None] == [entry.metadata for entry in shown]
    assert ["image/png"] * 2 == [entry.content_type for entry in shown]
    told = [call.kwargs for call in observer.artifact_event.call_args_list]
    assert ["faces/0.png", "faces/7.png"] == [event["name"] for event in told]
    with open(told[0]["filename"], "rb") as file:
        assert _blob(run, first) == file.read()


# -- arrays ---------------------------------------------------------------------------------------


def test_arrays_come_back_bit_for_bit() -> None:
    """Small ones lie in the event, large ones in a blob; little endian, in C order; bools and complex too."""
    arrays = [
        np.array([[1.5, float("nan")], [-0.0, float("inf")]]),
        np.arange(24, dtype=">i4").reshape(2, 3, 4),
        np.asfortranarray(np.arange(6, dtype=np.int8).reshape(2, 3)),
        np.arange(10_000, dtype=np.float32),
        np.array([True, False]),
        np.array(3),
        np.array([1 + 2j]),
    ]

    def main(run: Run) -> None:
        for array in arrays:
            run.log_array("a", array)
        run.log_array("a", [[1, 2], [3, 4]])

    run = _run(main)
    logged = [event.fields for event in _logged(run)]
    assert list(range(8)) == [fields["step"] for fields in logged]
    assert [False, False, False, True, False, False, False, False] == [
        "blob" in fields for fields in logged
    ]
    for array, fields in zip([*arrays, np.array([[1, 2], [3, 4]])], logged, strict=True):
        data = fields.get("data")
        found = np.frombuffer(_blob(run, fields) if data is None else data, fields["dtype"])
        assert not fields["dtype"].startswith(">")
        assert array.astype(found.dtype).tobytes() == found.reshape(fields["shape"]).tobytes()


@pytest.mark.parametrize("array", ["text", {"a": 1}, object(), [[1], [2, 3]], [None], ["a"]])
def test_what_is_no_array(array: object) -> None:
    """A sentence, and nothing recorded."""

    def main(run: Run) -> None:
        with pytest.raises(MetricError, match=r"log_array\('a', ...\) takes an array of numbers"):
            run.log_array("a", array)
        with pytest.raises(MetricError, match=r"log_histogram\('a', ...\) takes"):
            run.log_histogram("a", array)

    assert [] == _logged(_run(main))


def test_histograms() -> None:
    """Counts and bounds; what is not finite is left out; bounds may be given."""

    def main(run: Run) -> None:
        run.log_histogram("h", [0.0, 1.0, 1.0, float("nan"), float("inf")], bins=2)
        run.log_histogram("h", np.arange(6).reshape(2, 3), bins=[0, 2, 10])
        run.log_histogram("h", [float("nan")], bins=1)
        for bins in (0, [3, 1], "no", 10**6):
            with pytest.raises(MetricError, match="bins"):
                run.log_histogram("h", [1.0, 2.0], bins=bins)  # type: ignore[arg-type]
        with pytest.raises(MetricError, match="complex"):
            run.log_histogram("h", [1j])

    fields = [event.fields for event in _logged(_run(main))]
    assert [[0.0, 0.5, 1.0], [0, 2, 10], [0.0, 1.0]] == [entry["edges"] for entry in fields]
    assert [[1, 2], [2, 4], [0]] == [entry["counts"] for entry in fields]


# -- at the edges ---------------------------------------------------------------------------------


def test_what_is_logged_before_the_start_and_behind_the_end() -> None:
    """Before, it is kept until the journal is there; behind, that it is not recorded is said once."""
    ex = Experiment("early", save_git_info=False)
    ex.main(lambda: None)
    run = ex._create_run()
    run.log_text("t", "early")
    run()
    said = []
    run.run_logger.warning = lambda *a: said.append(a[0] % a[1:])  # type: ignore[method-assign]
    run.log_text("t", "late")
    run.log_text("t", "later")
    assert ["early"] == [event.fields["text"] for event in _logged(run)]
    assert ["The run has ended: the text t is not recorded."] == said


def test_a_disk_that_takes_no_blob(monkeypatch: pytest.MonkeyPatch) -> None:
    """P6: a picture that could not be stored stops nobody; the journal says that it is lost."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    def main(run: Run) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(BlobStore, "put_bytes", full)
            run.log_image("i", np.zeros((2, 2)))
            run.log_array("a", np.zeros(10_000))
            run.log_text("t", "x" * 100_000)

    run = _run(main)
    events = list(JournalReader(str(run.folder)).read())
    texts = [event.fields["text"] for event in events if event.name == "message"]
    assert [
        f"the content of this {what} is lost: No space left on device"
        for what in ("image", "array", "text")
    ] == texts
    assert ["array_logged", "text_logged"] == [event.name for event in _logged(run)]


def test_the_experiment_logs_into_its_run() -> None:
    """ex.log_text and its kin are those of the run."""
    ex = Experiment("delegates", save_git_info=False)

    @ex.main
    def main() -> None:
        ex.log_text("t", "x")
        ex.log_dict("d", [1])
        ex.log_image("i", [[0.5]])
        ex.log_array("a", [1.0])
        ex.log_histogram("h", [1.0], bins=1)
        ex.add_artifact(io.StringIO("text"), name="t.txt")

    names = ["text_logged", "text_logged", "image_logged", "array_logged", "histogram_logged"]
    assert names == [event.name for event in _logged(ex.run())]
