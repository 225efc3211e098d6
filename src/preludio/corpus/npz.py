"""Token files of earlier systems (`notes_train.npz`): arrays of ids of the 388 events, read without unpickling anything.

The Keras example writes one array for each piece (`np.savez(file, *pieces)`). Others padded the pieces to one table, put them end to end,
or made a list of unequal arrays, which NumPy stores as a pickle. Such a pickle is parsed here as data: an interpreter of the few opcodes
that NumPy writes for integers, which calls nothing that the file names.
"""

from __future__ import annotations

import ast
import io
import itertools
import os
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from preludio.corpus.archive import Zip
from preludio.corpus.entry import Entry
from preludio.errors import PreludioError
from preludio.files import replacing
from preludio.performance import Performance
from preludio.tokens import PAD, VOCAB_SIZE, Ids, decode

MAX_ARRAY_BYTES = 2**29  # MAESTRO's 23 million ids as int64 are 184 MB
MAX_PIECES = 1_000_000  # in one array
MAX_OPCODES = 32_000_000  # of a pickle: one for each id of a list, a few for each array

_SPLIT_WORDS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
_REMEDY = "write it again as one array of whole numbers for each piece: np.savez(file, *pieces)"

Array = npt.NDArray[Any]


class NpzSource:
    """Pieces as ids. The split is the file's or its folder's name: `notes_train.npz`, `val/notes.npz`; None if neither says one."""

    kind = "npz"

    def __init__(self, place: Zip) -> None:
        self.place = place
        self._last: tuple[str, list[Ids]] | None = None  # the array read last

    def __getstate__(self) -> dict[str, Any]:
        return {"place": self.place, "_last": None}

    def entries(self) -> list[Entry]:
        """One for each piece: an array's name, with the piece's number if there are several in it. An array that cannot be read is one."""
        split = _split(self.place.path)
        return [Entry(self.kind, name, split) for member in sorted(self.place.names(), key=_numbers_in) for name in self._names(member)]

    def read(self, entry: Entry) -> Performance:
        """As `Source`: ids as they are, repaired where they are not canonical."""
        whole = f"{entry.name}.npy" in self.place.names()
        key, _, number = (entry.name, "", "") if whole else entry.name.rpartition("#")
        pieces = self._pieces(f"{key}.npy")
        if number and not (number.isdecimal() and 0 < int(number) <= len(pieces)):
            raise PreludioError(f"{self.place.path}: {entry.name}: no such piece; the file has changed: begin anew")
        return decode(pieces[int(number or 1) - 1] if pieces else [])

    def _names(self, member: str) -> list[str]:
        key = member.removesuffix(".npy")
        try:
            n = len(self._pieces(member))
        except PreludioError:  # said when it is read
            n = 1
        return [key] if n < 2 else [f"{key}#{i}" for i in range(1, n + 1)]

    def _pieces(self, member: str) -> list[Ids]:
        if self._last is None or self._last[0] != member:
            try:
                self._last = member, _pieces(self.place.read(member, MAX_ARRAY_BYTES))
            except ValueError as error:
                raise PreludioError(f"{self.place.path}: {member}: {error}; {_REMEDY}") from None
        return self._last[1]


def find_npz(place: object) -> NpzSource | None:
    """A token file: a zip in which everything is an array."""
    names = place.names() if isinstance(place, Zip) else []
    return NpzSource(place) if isinstance(place, Zip) and names and all(name.endswith(".npy") for name in names) else None


def write_npz(path: str | os.PathLike[str], pieces: Iterable[Ids]) -> int:
    """Writes pieces of ids as the Keras example does, one array each (`arr_0`, `arr_1` ...), and returns how many.

    The same pieces give the same bytes. The file appears whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    n = 0
    with replacing(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        for n, piece in enumerate(pieces, 1):
            member = zipfile.ZipInfo(f"arr_{n - 1}.npy")  # dated 1980, always
            member.create_system = 3  # else it tells on which system it was made
            stream = io.BytesIO()
            np.lib.format.write_array(stream, np.asarray(piece, dtype=np.uint16), version=(1, 0))
            archive.writestr(member, stream.getvalue())
    return n


def _split(path: Path) -> str | None:
    for name in (path.stem, path.parent.name):
        words = [word for word in re.split(r"[^a-z]+", name.lower()) if word in _SPLIT_WORDS]
        if words:
            return _SPLIT_WORDS[words[-1]]
    return None


def _numbers_in(name: str) -> list[tuple[int, str]]:
    """A key that sorts arr_10 after arr_9."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"([0-9]{1,15})", name)]


def _pieces(data: bytes) -> list[Ids]:
    """What a `.npy` file holds. All that is wrong with it is a ValueError of one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in damaged text
            pieces = (piece for row in _rows(data) for piece in _split_at_specials(_checked(row)))
            result = list(itertools.islice(pieces, MAX_PIECES + 1))
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError, MemoryError, SyntaxError) as error:
        raise ValueError((str(error) or type(error).__name__).splitlines()[0]) from None
    if len(result) > MAX_PIECES:
        raise ValueError(f"more than {MAX_PIECES:,} pieces")
    return result


def _rows(data: bytes) -> Iterator[Array]:
    """The arrays in a `.npy` file: one, the rows of a table, or the items of a list."""
    shape, fortran, descr, start = _header(data)
    dtype = np.dtype(descr if isinstance(descr, str) else np.void)  # else a table of named columns
    payload = memoryview(data)[start:]
    if dtype.hasobject:
        yield from _plain_lists(bytes(payload))
    elif dtype.kind not in "iu" and 0 not in shape:
        raise ValueError(f"holds {dtype}, not whole numbers")
    elif len(shape) not in (1, 2) or any(not isinstance(n, int) or n < 0 for n in shape):
        raise ValueError(f"has the shape {shape}, not that of a list or a table")
    elif len(shape) == 2 and shape[0] > MAX_PIECES:
        raise ValueError(f"more than {MAX_PIECES:,} pieces")
    elif 0 in shape:
        yield from ()
    elif len(payload) != (n := shape[0] * (shape[1] if len(shape) == 2 else 1)) * dtype.itemsize:
        raise ValueError(f"cut off: {len(payload):,} bytes where {n * dtype.itemsize:,} belong")
    else:
        yield from np.atleast_2d(np.frombuffer(payload, dtype).reshape(shape, order="F" if fortran else "C"))


def _header(data: bytes) -> tuple[tuple[int, ...], bool, Any, int]:
    """Shape, column order, type and length of the header (NumPy's NEP 1); a literal that is parsed, not run."""
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        raise ValueError("no array of NumPy's")
    wide = data[6] > 1
    start = 12 if wide else 10
    end = start + int.from_bytes(data[8:start], "little")
    if end - start > 10_000 or end > len(data):
        raise ValueError("damaged in its header")
    header = ast.literal_eval(re.sub(r"(?<=\d)L\b", "", data[start:end].decode("utf-8" if data[6] > 2 else "latin-1").strip()))
    if not isinstance(header, dict) or not isinstance(header.get("shape"), tuple):
        raise ValueError("damaged in its header")
    return header["shape"], bool(header.get("fortran_order")), header.get("descr"), end


def _checked(row: Array) -> Ids:
    if row.size and not 0 <= int(row.min()) <= int(row.max()) < VOCAB_SIZE:
        odd = int(row.min()) if row.min() < 0 else int(row.max())
        raise ValueError(f"holds the id {odd}, and the vocabulary ends at {VOCAB_SIZE - 1}")
    return row.astype(np.uint16)


def _split_at_specials(row: Ids) -> Iterator[Ids]:
    """The pieces between PAD, START and END."""
    is_event = np.concatenate([[False], row < PAD, [False]])
    borders = np.flatnonzero(is_event[1:] != is_event[:-1])
    for begin, end in zip(borders[::2], borders[1::2], strict=True):
        yield row[begin:end]


class _Name(str):
    """A global that a pickle names, which here is a name and no more."""


class _NdArray:
    """What a pickled array or dtype says of itself: `made` with these arguments, then set to `state`."""

    def __init__(self, made: Any) -> None:
        self.made = made
        self.state: Any = None

    def dtype(self) -> np.dtype[Any]:
        code = self.made[0] if isinstance(self.made[0], str) else ""
        if not re.fullmatch("[iu][1248]", code):
            raise ValueError("holds something else than whole numbers")
        return np.dtype(code).newbyteorder(">" if self.state[1] == ">" else "<")

    def ids(self) -> Array:
        _, shape, dtype, _, data = self.state
        if isinstance(data, list):  # an array of objects, of which only integers pass
            return _integers(data)
        if len(shape) != 1 or not isinstance(data, bytes):
            raise ValueError("holds tables in a list")
        return np.frombuffer(data, dtype.dtype())


_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_RECONSTRUCT, _SCALAR = ([f"{module} {name}" for module in _MODULES] for name in ("_reconstruct", "scalar"))
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "SHORT_BINUNICODE", "BINUNICODE", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8"}
_MEMOS = {"BINPUT", "LONG_BINPUT", "MEMOIZE"}
_MARK = object()


def _plain_lists(pickle: bytes) -> Iterator[Array]:
    """The integers in a pickled array of lists or arrays."""
    outer = _plain(pickle)
    if not isinstance(outer, _NdArray) or not isinstance(outer.state, tuple) or not isinstance(outer.state[-1], list):
        raise ValueError("its pickle is no list of arrays")
    items, room = outer.state[-1], len(pickle)  # each number takes a byte at least: more would be one list named again and again
    if items and all(type(item) is int for item in items):
        items = [items]
    if len(items) > MAX_PIECES:
        raise ValueError(f"more than {MAX_PIECES:,} pieces")
    for item in items:
        ids = item.ids() if isinstance(item, _NdArray) else _integers(item)
        room -= ids.size
        if room < 0:
            raise ValueError("its pickle repeats itself without end")
        yield ids


def _integers(items: Any) -> Array:
    if not isinstance(items, list | tuple) or not all(type(item) is int for item in items):
        raise ValueError("holds something else than whole numbers")
    return np.array(items, dtype=np.int64)


def _plain(pickle: bytes) -> Any:
    """What a pickle describes, built of lists, tuples and `_NdArray`. Every opcode that is not needed for that is refused."""
    stack: list[Any] = []
    memo: dict[Any, Any] = {}
    room = len(pickle)  # of bytes made from text
    for n, (opcode, argument, _) in enumerate(pickletools.genops(pickle)):
        name = opcode.name
        if name in _LITERALS:
            stack.append(argument)
        elif name in _MEMOS:
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "STOP":
            return stack.pop()
        elif name in _REBUILDS:
            _REBUILDS[name](stack, argument)
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"its pickle has the opcode {name}, which no list of arrays needs")
        if name == "REDUCE" and isinstance(stack[-1], bytes):
            room -= len(stack[-1])
        if room < 0 or n > MAX_OPCODES:
            raise ValueError("its pickle is too large or repeats itself without end")
    raise ValueError("its pickle is cut off")


def _marked(stack: list[Any]) -> list[Any]:
    """Takes what lies above the last mark, and the mark."""
    items = []
    while (item := stack.pop()) is not _MARK:
        items.append(item)
    return items[::-1]


def _extend(stack: list[Any], items: list[Any]) -> None:
    if not isinstance(stack[-1], list):
        raise ValueError("its pickle is damaged")
    stack[-1].extend(items)


def _name(stack: list[Any]) -> _Name:
    attribute, module = stack.pop(), stack.pop()
    return _Name(f"{module} {attribute}")


def _tuple(stack: list[Any], n: int) -> None:
    stack[-n:] = [tuple(stack[-n:])]


def _build(stack: list[Any]) -> None:
    state = stack.pop()
    if not isinstance(stack[-1], _NdArray) or not isinstance(state, tuple):
        raise ValueError("its pickle holds more than arrays")
    stack[-1].state = state


def _reduce(stack: list[Any]) -> Any:
    """What a pickle's call stands for, if it is one of the four that NumPy writes; nothing is called that the file names."""
    arguments, function = stack.pop(), stack.pop()
    if isinstance(function, _Name) and isinstance(arguments, tuple):
        if function in _RECONSTRUCT or (function == "numpy dtype" and arguments):
            return _NdArray(arguments)
        if function in _SCALAR and isinstance(arguments[0], _NdArray):
            return int(np.frombuffer(arguments[1], arguments[0].dtype())[0])
        if function == "_codecs encode" and isinstance(arguments[0], str) and arguments[1] == "latin1":
            return arguments[0].encode("latin-1")  # protocol 2 has no bytes
    raise ValueError(f"its pickle asks to call {str(function).replace(' ', '.')[:80]}, which is refused")


_REBUILDS: dict[str, Callable[[list[Any], Any], None]] = {
    "NONE": lambda stack, _: stack.append(None),
    "NEWTRUE": lambda stack, _: stack.append(True),
    "NEWFALSE": lambda stack, _: stack.append(False),
    "MARK": lambda stack, _: stack.append(_MARK),
    "GLOBAL": lambda stack, name: stack.append(_Name(name)),
    "STACK_GLOBAL": lambda stack, _: stack.append(_name(stack)),
    "EMPTY_TUPLE": lambda stack, _: stack.append(()),
    "TUPLE1": lambda stack, _: _tuple(stack, 1),
    "TUPLE2": lambda stack, _: _tuple(stack, 2),
    "TUPLE3": lambda stack, _: _tuple(stack, 3),
    "TUPLE": lambda stack, _: stack.append(tuple(_marked(stack))),
    "EMPTY_LIST": lambda stack, _: stack.append([]),
    "APPEND": lambda stack, _: _extend(stack, [stack.pop()]),
    "APPENDS": lambda stack, _: _extend(stack, _marked(stack)),
    "BUILD": lambda stack, _: _build(stack),
    "REDUCE": lambda stack, _: stack.append(_reduce(stack)),
}
"""The opcodes that put together what lies on the stack."""
