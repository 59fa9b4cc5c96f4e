"""The public half of an ElGamal key pair."""

from __future__ import annotations

import threading

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import MAX_COLUMNS
from fedchain.crypto.curve import COMPRESSED_BYTES
from fedchain.crypto.points import PointArray, concat, generator
from fedchain.crypto.tables import KEY_BITS, FixedBaseTable, generator_table
from fedchain.errors import InvalidPointError


class PublicKey:
    """c independent public points h_j, and their fixed-base tables once they are needed.

    Attributes:
        points: c points, pairwise different up to sign, none of them G or -G.
    """

    def __init__(self, points: PointArray) -> None:
        """Check and hold the points.

        Raises:
            InvalidPointError: none or too many, infinity, G, or two points that are equal up to sign (their
                ciphertexts would show m_1 - m_2 or m_1 + m_2).
        """
        if not 1 <= len(points) <= MAX_COLUMNS:
            raise InvalidPointError(f"a public key needs 1 to {MAX_COLUMNS} points, found {len(points)}")
        points.require_finite()
        if len(set(concat([generator(), points]).x_words().tolist())) != len(points) + 1:
            raise InvalidPointError("a public key's points must differ, up to sign, from each other and from G")
        self.points = points
        self._lock = threading.Lock()
        self._tables: tuple[FixedBaseTable, ...] = ()

    @property
    def columns(self) -> int:
        """How many plaintext columns the key serves."""
        return len(self.points)

    def tables(self, executor: Executor | None = None) -> tuple[FixedBaseTable, ...]:
        """The fixed-base tables of h_1 … h_c, built on first use (about 0.03 s and 0.5 MB each)."""
        with self._lock:
            if not self._tables:
                points = [self.points[j : j + 1] for j in range(self.columns)]
                self._tables = tuple(FixedBaseTable(point, executor, KEY_BITS) for point in points)
            return self._tables

    def prepare(self, executor: Executor | None = None) -> None:
        """Build what re-randomising needs: these tables, and the one of G; else its first use does."""
        generator_table()
        self.tables(executor)

    def to_bytes(self) -> bytes:
        """``c * 33`` bytes of compressed SEC1."""
        return self.points.to_sec1(compressed=True)

    @classmethod
    def from_bytes(cls, data: bytes, columns: int, culprit: str) -> PublicKey:
        """Parse and validate a peer's key.

        Args:
            data: exactly ``columns * 33`` bytes.
            columns: how many columns the protocol expects.
            culprit: the sender, named in the error.

        Raises:
            InvalidPointError: wrong length, invalid or repeated points.
        """
        if not 1 <= columns <= MAX_COLUMNS or len(data) != columns * COMPRESSED_BYTES:
            raise InvalidPointError(f"{culprit}: a public key of {columns} columns cannot have {len(data)} bytes")
        points = PointArray.from_sec1(data, columns, culprit, compressed=True)
        try:
            return cls(points)
        except InvalidPointError as error:
            raise InvalidPointError(f"{culprit}: {error}") from error
