"""Arrays of ElGamal ciphertexts with shared randomness, and their bytes on the wire.

Source: Kurosawa, "Multi-Recipient Public-Key Encryption with Shortened Ciphertext" (PKC 2002): one r under several
independent keys.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from fedchain.compute.executor import Executor, chunks
from fedchain.crypto.curve import COMPRESSED_BYTES, UNCOMPRESSED_BYTES, Bools, Int64s
from fedchain.crypto.points import PointArray
from fedchain.errors import CryptoError, InvalidPointError

MAX_COLUMNS = 64
"""Most plaintext columns that one r may serve: a bound on what a peer can make us allocate."""

ENCODE_CHUNK = 1 << 14

Integers = npt.NDArray[np.integer]

C = TypeVar("C", bound="Ciphertexts")


class Ciphertexts:
    """n ciphertexts of c plaintext columns each.

    Attributes:
        c1: n points r·G.
        c2: c arrays of n points m_j·G + r·h_j.
    """

    compressed: ClassVar[bool] = False

    __slots__ = ("c1", "c2")

    def __init__(self, c1: PointArray, c2: tuple[PointArray, ...]) -> None:
        """Bundle the components.

        Raises:
            CryptoError: no column, too many, or unequal lengths.
            InvalidPointError: a component is infinity.
        """
        if not 1 <= len(c2) <= MAX_COLUMNS:
            raise CryptoError(f"ciphertexts need 1 to {MAX_COLUMNS} columns, found {len(c2)}")
        if any(len(column) != len(c1) for column in c2):
            raise CryptoError("all components of a ciphertext array must have one length")
        for column in (c1, *c2):
            column.require_finite()
        self.c1 = c1
        self.c2 = c2

    @property
    def columns(self) -> int:
        """How many plaintext columns."""
        return len(self.c2)

    @classmethod
    def byte_size(cls, count: int, columns: int) -> int:
        """Bytes that `to_bytes` gives for `count` ciphertexts of `columns` columns."""
        return (1 + columns) * count * (COMPRESSED_BYTES if cls.compressed else UNCOMPRESSED_BYTES)

    def to_bytes(self) -> bytes:
        """SEC1 points: all of c1, then each column of c2. Shows count and columns, nothing of the plaintexts."""
        encoded = io.BytesIO()  # hands its buffer over without a copy
        for column in (self.c1, *self.c2):
            for cut in chunks(len(column), ENCODE_CHUNK):
                encoded.write(column[cut].to_sec1(compressed=self.compressed))
        return encoded.getvalue()

    @classmethod
    def from_bytes(
        cls: type[C], data: bytes, count: int, columns: int, culprit: str, executor: Executor | None = None
    ) -> C:
        """Parse what `to_bytes` gave; every point is checked to be on the curve.

        Args:
            data: exactly ``byte_size(count, columns)`` bytes.
            count: ciphertexts that the protocol expects.
            columns: plaintext columns that the protocol expects.
            culprit: the sender, named in the error.

        Raises:
            InvalidPointError: wrong length or invalid points; names the culprit.
        """
        size = cls.byte_size(count, columns)
        if not 1 <= columns <= MAX_COLUMNS or count < 0 or len(data) != size:
            raise InvalidPointError(
                f"{culprit}: expected {count} ciphertexts of {columns} columns in {size} bytes, found {len(data)}"
            )
        total = (1 + columns) * count
        points = PointArray.from_sec1(data, total, culprit, compressed=cls.compressed, executor=executor)
        parts = [points[j * count : (j + 1) * count] for j in range(1 + columns)]
        return cls(parts[0], tuple(parts[1:]))

    def __len__(self) -> int:
        return len(self.c1)

    def __getitem__(self: C, index: slice | Int64s | Bools) -> C:
        """The ciphertexts at a slice, at an array of positions, or under a mask."""
        return type(self)(self.c1[index], tuple(column[index] for column in self.c2))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n={len(self)}, columns={self.columns})"


class CipherRows(Ciphertexts):
    """One ciphertext per row; uncompressed on the wire (0.6 µs to parse a point instead of 5)."""

    compressed = False
    __slots__ = ()


class CipherSums(Ciphertexts):
    """One ciphertext per histogram bin; compressed on the wire (few, and half the bytes on the chain)."""

    compressed = True
    __slots__ = ()


def checked_columns(columns: Sequence[int] | None, available: int) -> tuple[int, ...]:
    """Which plaintext columns are meant; all of them for None.

    Raises:
        CryptoError: none, a repetition, or one that is not there.
    """
    chosen = tuple(range(available)) if columns is None else tuple(columns)
    if not chosen or len(set(chosen)) < len(chosen) or not all(0 <= j < available for j in chosen):
        raise CryptoError(f"columns {chosen} are not different columns out of {available}")
    return chosen
