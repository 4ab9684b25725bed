"""Values as msgpack: the only module that knows msgpack.

What Python has and msgpack has not travels in extension types; the list is closed, and decoding
never imports, calls or builds anything that a journal names.

==== ======================= ==============================================================
 no  Python                  data
==== ======================= ==============================================================
 1   int beyond 64 bits      two's complement, big endian
 2   datetime                msgpack [ns since the epoch, offset from UTC in s or nil]
 3   tuple                   msgpack array
 4   set, frozenset          msgpack array, ordered by its elements' encoding
 5   array                   msgpack [dtype, shape, elements in C order]
 6   complex                 two little-endian float64
 7   any other object        msgpack [type, text]
 8   value kept as a blob    msgpack map: algorithm, digest, size, encoding
 9   str that is not Unicode UTF-8 with the surrogates passed through
 10  date, time, timedelta   msgpack [kind, ISO text or microseconds]
==== ======================= ==============================================================
"""

from __future__ import annotations

import math
import struct
import sys
import threading
from typing import Any

import msgpack

from sacred.journal.errors import InvalidEventError
from sacred.journal.named_tuple import NamedTuple

EXT_INT, EXT_DATETIME, EXT_TUPLE, EXT_SET, EXT_ARRAY = 1, 2, 3, 4, 5
EXT_COMPLEX, EXT_OBJECT, EXT_BLOB, EXT_TEXT, EXT_DATE = 6, 7, 8, 9, 10

#: Texts that stand for objects are cut here (characters).
OBJECT_TEXT_LIMIT = 4096
_MAX_DEPTH = 200
#: So many extension values may stand within one another. Each costs a decoder 40 KiB of the C
#: stack, where too many of them end the process.
MAX_NESTED = 32
#: So many values a frame's content may hold, each in or around another one; one in an extension
#: counts four times. What msgpack says in a byte takes Python up to 72: with this, 180 MiB at most.
MOST_VALUES = 1 << 21
#: A packer keeps the largest buffer it ever needed; beyond this it is given up (bytes).
_PACKER_KEPT = 1 << 20


#: Element types that ``array`` knows, by their names in numpy, without the byte order.
_NUMBERS = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I"}
_NUMBERS |= {"i8": "q", "u8": "Q", "f4": "f", "f8": "d"}
_BOOLEANS = {"|b1", "bool"}


class Array(NamedTuple):
    """An array as the journal keeps it, readable without numpy."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @property
    def of_numbers(self) -> bool:
        """Whether ``tolist`` gives ints, floats and bools, and needs no numpy for it."""
        return self.dtype in _BOOLEANS or self.dtype.lstrip("<|=") in _NUMBERS

    def tolist(self) -> Any:
        """Return nested lists of what is in it; needs numpy for exotic element types.

        Raises
        ------
        ValueError
            Its bytes are not of its shape, or it is more lists than a journal has values: a shape
            is a few bytes, and may say anything.
        Exception
            Whatever numpy raises for an element type that it does not know.
        """
        lists = 1
        for length in self.shape:
            lists *= length
            if length < 0 or lists > MOST_VALUES * 8:
                raise ValueError(f"an array of shape {self.shape} is none, or too large")
            if length == 0:
                break
        if self.dtype in _BOOLEANS:
            flat: list[Any] = [bool(byte) for byte in self.data]
        elif self.of_numbers:
            import array

            numbers = array.array(_NUMBERS[self.dtype.lstrip("<|=")], self.data)
            if sys.byteorder == "big":
                numbers.byteswap()
            flat = numbers.tolist()
        else:
            import numpy as np

            return np.frombuffer(self.data, self.dtype).reshape(self.shape).tolist()
        if len(flat) != math.prod(self.shape):
            raise ValueError(f"{len(flat)} elements are no array of shape {self.shape}")
        return _nest(flat, self.shape)


def _nest(flat: list[Any], shape: tuple[int, ...]) -> Any:
    if not shape:
        return flat[0]
    if not flat and 0 in shape[1:]:
        return [_nest(flat, shape[1:]) for _ in range(shape[0])]
    for length in reversed(shape[1:]):
        flat = [flat[i : i + length] for i in range(0, len(flat), length)]
    return flat


class ObjectText(NamedTuple):
    """Stands for an object that has no data form: the name of its type and its ``repr``."""

    type: str
    text: str


class BlobReference(NamedTuple):
    """Names a blob: content that is kept beside the journals.

    ``encoding`` is ``identity`` for a file's bytes, ``zstd`` for the same compressed, and
    ``msgpack`` for a value that was too large for an event.
    """

    algorithm: str
    digest: str
    size: int
    encoding: str = "identity"

    def to_wire(self) -> dict[str, Any]:
        """Return the map that events carry."""
        return dict(zip(self._fields, self, strict=True))

    @classmethod
    def from_wire(cls, wire: Any) -> BlobReference | None:
        """Read the map that events carry; None if there is none or it is not one."""
        try:
            return cls(
                str(wire["algorithm"]),
                str(wire["digest"]),
                int(wire["size"]),
                str(wire.get("encoding", "identity")),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return None


#: What decoding gives in place of something else, and encoding takes back.
_OWN = frozenset({Array, ObjectText, BlobReference})


def describe(value: object) -> ObjectText:
    """Return the text that stands for an object; never raises."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{name}: its repr raised {type(error).__name__}>"
    if len(text) > OBJECT_TEXT_LIMIT:
        text = text[:OBJECT_TEXT_LIMIT] + "..."
    return ObjectText(name, text)


def _encode_array(value: Any) -> msgpack.ExtType | Any:
    dtype = value.dtype
    if dtype.hasobject or dtype.fields is not None:
        return value.tolist()
    little = dtype.newbyteorder("<") if dtype.byteorder == ">" else dtype
    data = value.astype(little, copy=False).tobytes()
    return _ext(EXT_ARRAY, [little.str, list(value.shape), data])


class _Nesting(threading.local):
    """How many extension values are around the one that is decoded."""

    level = 0


_nesting = _Nesting()


def _ext(code: int, content: Any) -> msgpack.ExtType:
    return msgpack.ExtType(code, _pack_plain(content))


def _big(number: int) -> msgpack.ExtType | int:
    if -(1 << 63) <= number < 1 << 64:
        return number
    size = number.bit_length() // 8 + 1
    return msgpack.ExtType(EXT_INT, number.to_bytes(size, "big", signed=True))


def _default_number(value: Any) -> Any:
    """Give msgpack a number or text that it knows in place of ``value``; TypeError if it is none."""
    if isinstance(value, int):  # bool, IntEnum and int subclasses, and ints beyond 64 bits
        return _big(int(value))
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    generic = getattr(sys.modules.get("numpy"), "generic", None)
    if generic is not None and isinstance(value, generic):
        item = value.item()
        if type(item) in {bool, int, float, str, bytes}:
            return item
    raise TypeError(type(value))


def _data_form(value: Any) -> Any:
    """Return something nearer to msgpack in place of ``value``, which is no container."""
    kind = type(value)
    if isinstance(value, int):
        return _big(int(value))
    if kind is Array:
        return _ext(EXT_ARRAY, [value.dtype, list(value.shape), value.data])
    if kind is ObjectText:
        return _ext(EXT_OBJECT, list(value))
    if kind is BlobReference:
        return _ext(EXT_BLOB, value.to_wire())
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, complex):
        return msgpack.ExtType(EXT_COMPLEX, struct.pack("<dd", value.real, value.imag))
    return _data_form_of_library(value)


def _ext_set(value: Any) -> msgpack.ExtType:
    packed = sorted(_pack_plain(item) for item in value)
    header: bytes = msgpack.Packer().pack_array_header(len(packed))
    return msgpack.ExtType(EXT_SET, header + b"".join(packed))


def _data_form_of_library(value: Any) -> Any:
    """Handle values of libraries that the program itself has loaded."""
    import datetime as dt  # msgpack has loaded it

    modules = sys.modules
    if isinstance(value, dt.datetime):
        parts = _datetime_parts(value, dt)
        return _ext(EXT_DATETIME, parts)
    if isinstance(value, dt.timedelta):
        micros = value // dt.timedelta(microseconds=1)
        return _ext(EXT_DATE, ["timedelta", _big(micros)])
    if isinstance(value, dt.date):
        return _ext(EXT_DATE, ["date", dt.date.isoformat(value)])
    if isinstance(value, dt.time):
        return _ext(EXT_DATE, ["time", dt.time.isoformat(value)])
    numpy: Any = modules.get("numpy")
    if hasattr(numpy, "generic") and hasattr(numpy, "ndarray"):  # else it is being imported
        if isinstance(value, numpy.generic):
            item = value.item()
            if not isinstance(item, numpy.generic):
                return item
            return _ext(EXT_OBJECT, list(describe(value)))
        if isinstance(value, numpy.ndarray):
            return _encode_array(value)
    pandas: Any = modules.get("pandas")
    if hasattr(pandas, "DataFrame") and hasattr(pandas, "Index"):
        if isinstance(value, (pandas.DataFrame, pandas.Series)):
            return value.to_dict()
        if isinstance(value, pandas.Index):
            return value.tolist()
    pathlib = modules.get("pathlib")
    if pathlib is not None and isinstance(value, pathlib.PurePath):
        return str(value)
    return _ext(EXT_OBJECT, list(describe(value)))


def _datetime_parts(value: Any, datetime: Any) -> list[Any]:
    offset = value.utcoffset()
    epoch = datetime.datetime(1970, 1, 1, tzinfo=None if offset is None else datetime.timezone.utc)
    nanoseconds = (value - epoch) // datetime.timedelta(microseconds=1) * 1000
    seconds = None if offset is None else int(offset.total_seconds())
    return [_big(nanoseconds), seconds]


#: Packers not in use: one costs a microsecond and a buffer to make, and can not be shared.
_free: list[msgpack.Packer] = []


def new_packer() -> msgpack.Packer:
    """Return a packer of one's own, for whoever packs many numbers and holds a lock anyway.

    It knows numbers and texts of all kinds, also numpy's, and plain containers of them; it raises
    for anything else, which ``pack`` knows.
    """
    return msgpack.Packer(default=_default_number, strict_types=True, use_bin_type=True)


def pack(value: Any) -> bytes:
    """Encode one value.

    Whatever has no data form becomes text that names it; nothing raises for its type. May be
    called from any thread, also while another thread changes the value: what is encoded then is
    some state of each container in it.

    Raises
    ------
    InvalidEventError
        The encoding would be larger than 4 GiB.
    MemoryError
    """
    try:
        return _pack_plain(value)
    except Exception:  # not for msgpack as it is
        pass
    try:
        return _pack_plain(_plain(value, (), 0))
    except MemoryError:
        raise
    except Exception as error:
        raise InvalidEventError(f"the value can not be journalled: {error}") from error


def _pack_plain(value: Any) -> bytes:
    # Without any call back into Python: another thread that had its turn there could change the
    # length of a dict or list after msgpack wrote it, and the rest of the frame would be lost.
    try:
        packer = _free.pop()
    except IndexError:
        packer = msgpack.Packer(strict_types=True, use_bin_type=True)
    packed: bytes = packer.pack(value)  # one that raised may hold half a value: not put back
    if len(packed) < _PACKER_KEPT and len(_free) < 8:
        _free.append(packer)
    return packed


def _plain(value: Any, within: tuple[int, ...], extensions: int) -> Any:
    """Walk a value that msgpack refused, replacing what it can not hold.

    ``within`` are the ids of the containers around it, of which so many are ``extensions``.
    """
    if value is None or type(value) in {bool, float, bytes, msgpack.ExtType}:
        return value
    if type(value) is int:
        return _big(value)
    if isinstance(value, str):
        try:
            str.encode(value)
        except UnicodeEncodeError:
            return msgpack.ExtType(EXT_TEXT, str.encode(value, "utf-8", "surrogatepass"))
        return str.__str__(value)
    if id(value) in within:
        return _named(value, "<contains itself>")
    if len(within) > _MAX_DEPTH or extensions >= MAX_NESTED - 1:
        return _named(value, "<nested too deeply>")
    inside = (*within, id(value))
    try:
        if isinstance(value, dict):
            items = list(dict.items(value))
            pairs = ((_plain(k, inside, extensions), v) for k, v in items)
            return {key: _plain(item, inside, extensions) for key, item in pairs}
        if isinstance(value, list):
            return [_plain(item, inside, extensions) for item in list.copy(value)]
        if isinstance(value, tuple) and type(value) not in _OWN:
            content = [_plain(item, inside, extensions + 1) for item in tuple.__iter__(value)]
            return _ext(EXT_TUPLE, content)
        if isinstance(value, (set, frozenset)):
            content = [_plain(item, inside, extensions + 1) for item in list(value)]
            return _ext_set(content)
        return _plain(_data_form(value), inside, extensions)
    except Exception:  # the methods of a user's class raise what they like
        described = describe(value)
        return _named(value, described.text)


def _named(value: object, text: str) -> msgpack.ExtType:
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    return _ext(EXT_OBJECT, [s.encode("utf-8", "backslashreplace").decode() for s in (name, text)])


def _decode_ext(code: int, data: bytes) -> Any:
    level = _nesting.level
    if level >= MAX_NESTED:
        return ObjectText(f"msgpack.ext{code}", data[:256].hex())
    _nesting.level = level + 1
    try:
        return _decode_known(code, data)
    except Exception:
        return ObjectText(f"msgpack.ext{code}", data[:256].hex())
    finally:
        _nesting.level = level


def _decode_known(code: int, data: bytes) -> Any:
    if code == EXT_INT:
        return int.from_bytes(data, "big", signed=True)
    if code == EXT_TUPLE:
        return tuple(unpack(data))
    if code == EXT_SET:
        return frozenset(unpack(data))
    if code == EXT_COMPLEX:
        return complex(*struct.unpack("<dd", data))
    if code == EXT_TEXT:
        return data.decode("utf-8", "surrogatepass")
    if code == EXT_DATETIME:
        return _decode_datetime(*unpack(data))
    if code == EXT_ARRAY:
        dtype, shape, elements = unpack(data)
        return Array(str(dtype), tuple(int(n) for n in shape), bytes(elements))
    if code == EXT_OBJECT:
        kind, text = unpack(data)
        return ObjectText(str(kind), str(text))
    if code == EXT_BLOB:
        reference = BlobReference.from_wire(unpack(data))
        if reference is not None:
            return reference
    if code == EXT_DATE:
        return _decode_date(*unpack(data))
    return ObjectText(f"msgpack.ext{code}", data[:256].hex())


def _decode_datetime(nanoseconds: int, offset: int | None) -> Any:
    import datetime as dt

    delta = dt.timedelta(microseconds=nanoseconds // 1000)
    if offset is None:
        return dt.datetime(1970, 1, 1) + delta  # noqa: DTZ001 - it was naive
    utc = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc) + delta
    return utc.astimezone(dt.timezone(dt.timedelta(seconds=offset)))


def _decode_date(kind: str, content: Any) -> Any:
    import datetime as dt

    if kind == "timedelta":
        return dt.timedelta(microseconds=content)
    if kind == "date":
        return dt.date.fromisoformat(content)
    return dt.time.fromisoformat(content)


def unpack(data: bytes) -> Any:
    """Decode one value.

    Raises
    ------
    ValueError
        The bytes are not exactly one msgpack object (msgpack's own errors derive from it).
    """
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            unicode_errors="surrogateescape",
            ext_hook=_decode_ext,
            use_list=True,
        )
    except TypeError as error:
        raise ValueError(f"a map with a key that can be none: {error}") from None


def unpack_all(data: bytes) -> list[Any]:
    """Decode a concatenation of values.

    Raises
    ------
    ValueError
        The bytes are not whole msgpack objects.
    """
    unpacker = msgpack.Unpacker(
        raw=False,
        strict_map_key=False,
        unicode_errors="surrogateescape",
        ext_hook=_decode_ext,
        use_list=True,
        max_buffer_size=max(1, len(data)),  # also what a length in it may tell at most
    )
    unpacker.feed(data)
    values = []
    end = len(data)
    try:
        while unpacker.tell() < end:
            values.append(unpacker.unpack())
    except msgpack.OutOfData:
        raise ValueError("the content ends inside a value") from None
    except TypeError as error:  # a list as the key of a map
        raise ValueError(f"a map with a key that can be none: {error}") from None
    return values


#: How many bytes a value takes, by its first one; 0 where there is more to look at.
_SIZES = (
    *([1] * 0x80),  # small numbers
    *([0] * 0x20),  # small maps and lists
    *range(1, 0x21),  # short texts
    *(1, 0, 1, 1),  # nil, the byte that is none, false, true
    *([0] * 6),  # bytes and extensions that tell their length
    *(5, 9, 2, 3, 5, 9, 2, 3, 5, 9),  # floats and integers
    *([0] * 12),  # extensions, texts, lists and maps
    *([1] * 0x20),  # small negative numbers
)
#: Extensions whose data are a value, which is decoded, too.
_WITH_VALUE = frozenset(
    (EXT_DATETIME, EXT_TUPLE, EXT_SET, EXT_ARRAY, EXT_OBJECT, EXT_BLOB, EXT_DATE)
)


def holds_too_much(data: bytes, *, more: int = 0) -> bool:
    """Tell whether a content holds more values than a reader takes (``MOST_VALUES``).

    A value takes a byte at least: only a content of more than 2 MiB is looked through, at 0.1 us a
    value. ``more`` may stand around it.
    """
    most = MOST_VALUES + more
    return len(data) > most and _weigh(data, 0, len(data), most) > most


def _weigh(data: bytes, at: int, end: int, most: int, level: int = 0) -> int:
    """Count values, an extension as four, until there are too many or they end."""
    found = 0
    while at < end and found <= most:
        lead = data[at]
        found += 1
        if size := _SIZES[lead]:
            at += size
        elif lead < 0xA0:  # what is in a list or map follows, and is counted itself
            at += 1
        elif lead >= 0xDC:  # the same with a length of two or four bytes
            at += 5 if lead & 1 else 3
        elif lead == 0xC1:
            break
        elif lead in {0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB}:
            width = 1 << (lead - (0xC4 if lead < 0xD0 else 0xD9))
            at += 1 + width + int.from_bytes(data[at + 1 : at + 1 + width], "big")
        else:
            if lead >= 0xD4:
                at, length = at + 1, 1 << (lead - 0xD4)
            else:
                width = 1 << (lead - 0xC7)
                length = int.from_bytes(data[at + 1 : at + 1 + width], "big")
                at += 1 + width
            found += 3
            begin, at = at + 1, at + 1 + length
            if at <= end and data[begin - 1] in _WITH_VALUE and level < MAX_NESTED:
                found += _weigh(data, begin, at, most - found, level + 1)
    return found


def split(data: bytes) -> list[bytes]:
    """Cut a concatenation of values into them, each as it stands.

    Raises
    ------
    ValueError
        The bytes are not whole msgpack objects.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=max(1, len(data)))
    unpacker.feed(data)
    pieces, begin, end = [], 0, len(data)
    try:
        while begin < end:
            unpacker.skip()
            pieces.append(data[begin : unpacker.tell()])
            begin = unpacker.tell()
    except msgpack.OutOfData:
        raise ValueError("the content ends inside a value") from None
    return pieces
