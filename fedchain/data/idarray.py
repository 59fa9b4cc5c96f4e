"""Many ids in little memory: their bytes one after the other, and where each begins.

A million ids of 12 characters take 20 MB, as Python texts 61 MB and with a dictionary over them 130.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

_ENCODING = ("utf-8", "surrogatepass")
_CHUNK = 2**16


class Ids(Sequence[str]):
    """An immutable sequence of texts.

    It compares equal to any sequence of the same texts. Items are decoded as they are asked for.

    Attributes:
        buffer: all ids in UTF-8, one after the other.
        offsets: (n + 1,) int64: id `i` is `buffer[offsets[i]:offsets[i + 1]]`.
    """

    __slots__ = ("__dict__", "buffer", "offsets")

    def __init__(self, buffer: bytes, offsets: NDArray[np.int64]) -> None:
        self.buffer = buffer
        self.offsets = offsets

    @classmethod
    def of(cls, texts: Iterable[str]) -> Ids:
        """The same ids; `texts` itself if it is of this class."""
        if isinstance(texts, Ids):
            return texts
        builder, left = IdsBuilder(), iter(texts)
        while chunk := list(islice(left, _CHUNK)):
            builder.extend(chunk)
        return builder.build()

    def __len__(self) -> int:
        """Number of ids."""
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Ids: ...
    def __getitem__(self, place: int | slice) -> str | Ids:
        """An id, or some of them."""
        if isinstance(place, slice):
            return self.take(np.arange(len(self))[place])
        n = len(self)
        if not -n <= place < n:
            raise IndexError(f"id {place} of {n}")
        place += n if place < 0 else 0
        return self.buffer[self.offsets[place] : self.offsets[place + 1]].decode(*_ENCODING)

    def __iter__(self) -> Iterator[str]:
        """One text after the other; none is kept."""
        return (raw.decode(*_ENCODING) for raw in self.encoded())

    def encoded(self) -> Iterator[bytes]:
        """The ids in UTF-8, one after the other."""
        buffer, start = self.buffer, 0
        for first in range(1, len(self.offsets), _CHUNK):
            for end in self.offsets[first : first + _CHUNK].tolist():
                yield buffer[start:end]
                start = end

    def take(self, rows: NDArray[np.integer[Any]]) -> Ids:
        """The ids at these places, in their order."""
        starts, lengths = self.offsets[rows], np.diff(self.offsets)[rows]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        view, taken = memoryview(self.buffer), bytearray(int(offsets[-1]))
        into = 0
        for first in range(0, len(rows), _CHUNK):
            cut = slice(first, first + _CHUNK)
            part = b"".join([view[s : s + n] for s, n in zip(starts[cut].tolist(), lengths[cut].tolist(), strict=True)])
            taken[into : into + len(part)] = part
            into += len(part)
        return Ids(bytes(taken), offsets)

    def repeats(self) -> NDArray[np.int64]:
        """For each id the place of its first occurrence: its own, if it is the first.

        Returns:
            (n,) int64.
        """
        first = np.arange(len(self), dtype=np.int64)
        order = self._order
        same = np.flatnonzero(np.diff(self._hashes[order]) == 0)
        if len(same):  # neighbours of one hash: look at the texts themselves
            seen: dict[bytes, int] = {}
            for place in np.sort(np.unique(np.concatenate([order[same], order[same + 1]]))).tolist():
                raw = self.buffer[self.offsets[place] : self.offsets[place + 1]]
                first[place] = seen.setdefault(raw, place)
        return first

    def find(self, wanted: Sequence[str]) -> NDArray[np.int64]:
        """The places of other ids here, the first where there are several; −1 for those that are not here.

        Returns:
            (len(wanted),) int64.
        """
        asked = Ids.of(wanted)
        found = np.full(len(asked), -1, np.int64)
        if not len(self):
            return found
        order, hashes = self._order, self._hashes
        ordered = hashes[order]
        begin, end = (np.searchsorted(ordered, asked._hashes, side) for side in ("left", "right"))
        offsets, buffer = self.offsets, self.buffer
        for place, raw in enumerate(asked.encoded()):
            for candidate in order[begin[place] : end[place]].tolist():
                if buffer[offsets[candidate] : offsets[candidate + 1]] == raw:
                    found[place] = candidate
                    break
        return found

    @cached_property
    def _hashes(self) -> NDArray[np.int64]:
        """Python's hash of each id: keyed afresh in each process, so that nobody can make ids that collide."""
        return np.fromiter(map(hash, self.encoded()), np.int64, len(self))

    @cached_property
    def _order(self) -> NDArray[np.int64]:
        return np.argsort(self._hashes, kind="stable")

    def __eq__(self, other: object) -> bool:
        """Whether another sequence has the same texts in the same order."""
        if isinstance(other, Ids):
            return self.buffer == other.buffer and np.array_equal(self.offsets, other.offsets)
        if isinstance(other, (tuple, list)):
            return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        """Without what was derived: hashes mean nothing in another process."""
        return Ids, (self.buffer, self.offsets)

    def __repr__(self) -> str:
        """The number alone; never an id."""
        return f"Ids({len(self)})"


class Cells(Sequence["str | None"]):
    """Trimmed cells of a column, as compact as ids; a missing one is None."""

    def __init__(self, texts: Ids) -> None:
        self._texts = texts

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._texts)

    @overload
    def __getitem__(self, place: int) -> str | None: ...
    @overload
    def __getitem__(self, place: slice) -> Cells: ...
    def __getitem__(self, place: int | slice) -> str | Cells | None:
        """A cell, or some of them."""
        return Cells(self._texts[place]) if isinstance(place, slice) else self._texts[place] or None

    def __iter__(self) -> Iterator[str | None]:
        """One cell after the other."""
        return (text or None for text in self._texts)

    def take(self, rows: NDArray[np.int64]) -> Cells:
        """The cells of these rows."""
        return Cells(self._texts.take(rows))


class IdsBuilder:
    """Collects ids, many at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ends = array("q", [0])

    def extend(self, texts: Sequence[str]) -> None:
        """Some more; quick for many at a time."""
        joined = "".join(texts)
        if joined.isascii():
            lengths = np.fromiter(map(len, texts), np.int64, len(texts))
            raw = joined.encode("ascii")
        else:
            encoded = [text.encode(*_ENCODING) for text in texts]
            lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
            raw = b"".join(encoded)
        self._ends.frombytes((np.cumsum(lengths) + len(self._buffer)).tobytes())
        self._buffer += raw

    def __len__(self) -> int:
        """How many there are."""
        return len(self._ends) - 1

    def build(self) -> Ids:
        """All of them."""
        return Ids(bytes(self._buffer), np.frombuffer(self._ends, np.int64))
