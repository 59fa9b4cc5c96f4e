"""A party's own ids on their way out: in secret order, padded, hashed and blinded chunk by chunk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto import psi

SEED_BYTES = 32
DUMMY_BYTES = 32
_DUMMY = b"\xff"
"""Begins the preimage of a dummy: no UTF-8 text has that byte, so a dummy is nobody's id."""


class OwnSet:
    """The own ids and dummies beside them, in an order that only the seed tells.

    The position of an element must not tell the row. 4 bytes per id are kept beside the ids themselves.
    """

    def __init__(self, ids: Sequence[str], seed: bytes, size: int, chunk_ids: int) -> None:
        """Draw the order.

        Args:
            ids: distinct.
            seed: 32 secret bytes; the same seed gives the same order and the same dummies.
            size: number of ids to show, at least as many as there are: the others are dummies.
            chunk_ids: ids in each chunk but the last.
        """
        self._ids, self._seed, self._size, self._chunk_ids = ids, seed, size, chunk_ids
        keys = np.frombuffer(hashlib.shake_256(b"fedchain-psi-order" + seed).digest(8 * size), "<u8")
        self._order = np.argsort(keys, kind="stable").astype(np.uint32)

    def __len__(self) -> int:
        """Number of ids, with padding."""
        return self._size

    def preimages(self, chunk: int) -> list[bytes]:
        """What a chunk's points are hashes of."""
        return self._preimages(self._places(chunk))

    def preimages_at(self, places: NDArray[np.int64]) -> list[bytes]:
        """What the points at these places of the order are hashes of."""
        return self._preimages(self._order[places])

    def blinded(self, chunk: int, salt: bytes, secret: int, executor: Executor) -> bytes:
        """A chunk of points, uncompressed SEC1."""
        return psi.blind(psi.hash_to_curve(self.preimages(chunk), salt, executor), secret, executor).to_sec1()

    def rows(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which of the ids stand at these places of the order; dummies are left out."""
        found = self._order[places].astype(np.int64)
        return found[found < len(self._ids)]

    def real(self) -> NDArray[np.bool_]:
        """(size,) bool: which places of the order hold ids and not dummies."""
        return self._order < len(self._ids)

    def _preimages(self, elements: NDArray[np.uint32]) -> list[bytes]:
        real, ids = len(self._ids), self._ids
        return [
            ids[one].encode("utf-8", "surrogatepass") if one < real else self._dummy(one - real)
            for one in elements.tolist()
        ]

    def _places(self, chunk: int) -> NDArray[np.uint32]:
        return self._order[chunk * self._chunk_ids : (chunk + 1) * self._chunk_ids]

    def _dummy(self, number: int) -> bytes:
        drawn = hashlib.blake2b(number.to_bytes(8, "big"), key=self._seed, digest_size=DUMMY_BYTES, person=b"psi-dummy")
        return _DUMMY + drawn.digest()


def padded(count: int, pad_to: int | str | None) -> int:
    """The size that a set of `count` ids shows.

    Args:
        pad_to: the next multiple of this number, the next power of two (`"power_of_two"`), or None for the exact size.
    """
    if pad_to is None:
        return count
    if isinstance(pad_to, int):
        return -(-count // pad_to) * pad_to
    return 1 << (count - 1).bit_length()
