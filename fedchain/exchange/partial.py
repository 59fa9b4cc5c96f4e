"""A payload that is being fetched: chunks are verified as they arrive, kept, and gone on with after a break."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from fedchain.crypto.merkle import CHUNK_BYTES, DIGEST_BYTES, chunk_count, leaf_hash, root_of
from fedchain.errors import DigestMismatchError, OtherLeavesError


class PartialPayload:
    """One payload under way: verified chunks in a `.part` file, the hashes of all chunks in a `.leaves` file.

    What is on disk is verified again when it is opened; nothing of it is believed. Used by one thread.

    Args:
        base: path of both files, without their suffixes.
        digest: 32-byte Merkle root.
        size: bytes of the whole payload.

    Attributes:
        chunks: how many chunks, from the first on, are here and verified: a transfer goes on at this one.
    """

    def __init__(self, base: Path, digest: bytes, size: int) -> None:
        self.chunks = 0
        self.path = base.with_suffix(".part")
        self._leaves_path = base.with_suffix(".leaves")
        self._digest = digest
        self._size = size
        self._count = chunk_count(size)
        self._leaves = bytearray()
        self._resume()
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        self._file: BinaryIO = os.fdopen(descriptor, "r+b")
        self._file.truncate(self.chunks * CHUNK_BYTES if not self.complete else size)
        self._file.seek(0, os.SEEK_END)

    @property
    def complete(self) -> bool:
        """Whether all chunks are here."""
        return self.chunks == self._count

    @property
    def needs_leaves(self) -> bool:
        """Whether hashes of chunks are still missing."""
        return len(self._leaves) < DIGEST_BYTES * self._count

    @property
    def leaves(self) -> bytes:
        """All hashes."""
        return bytes(self._leaves)

    def restart(self) -> None:
        """Before each try: hashes that came in part, or without any chunk, come all again."""
        if self.needs_leaves or self.chunks == 0:
            self._leaves.clear()

    def add_leaves(self, first: int, hashes: bytes) -> None:
        """Take the next hashes; the last ones are checked against the digest.

        Raises:
            DigestMismatchError: not the next ones, or too many.
            OtherLeavesError: not those of the digest.
        """
        if first * DIGEST_BYTES != len(self._leaves) or len(hashes) % DIGEST_BYTES:
            raise DigestMismatchError(f"hashes of chunks out of order, at {first}")
        if len(self._leaves) + len(hashes) > DIGEST_BYTES * self._count:
            raise DigestMismatchError(f"more hashes than the {self._count} chunks of {self._size} bytes have")
        self._leaves += hashes
        if not self.needs_leaves:
            root = self._root()
            if root != self._digest:
                self._leaves.clear()
                raise OtherLeavesError(f"the hashes of its chunks do not match the digest {self._digest.hex()}", root)
            self._write_leaves()

    def add(self, first: int, data: bytes | memoryview) -> None:
        """Take the next chunks; those before a wrong one are kept.

        Raises:
            DigestMismatchError: not the next ones, of a wrong length, or other bytes than committed to.
        """
        if self.needs_leaves or first != self.chunks:
            raise DigestMismatchError(f"chunk {first} out of order: chunk {self.chunks} is next")
        view = memoryview(data)
        good = 0
        for start in range(0, len(data), CHUNK_BYTES):
            chunk = view[start : start + CHUNK_BYTES]
            index = self.chunks
            if index >= self._count or leaf_hash(chunk) != self._leaf(index):
                break
            self.chunks += 1
            good += len(chunk)
        if good:
            self._file.write(view[:good])
        if good != len(data):
            raise DigestMismatchError(
                f"chunk {self.chunks} of {self._count} does not match the digest {self._digest.hex()}"
            )

    def payload(self) -> bytes:
        """All bytes, once complete: as they were verified on their way to the file."""
        assert self.complete
        self._file.seek(0)
        return self._file.read()

    def close(self) -> None:
        """Close the files; what is verified stays."""
        self._file.close()

    def delete_leaves(self) -> None:
        """Delete the file of hashes, once the payload is in the store."""
        self._leaves_path.unlink(missing_ok=True)

    def _resume(self) -> None:
        try:
            with self._leaves_path.open("rb") as file:
                self._leaves += file.read(DIGEST_BYTES * self._count + 1)
            if len(self._leaves) != DIGEST_BYTES * self._count or self._root() != self._digest:
                self._leaves.clear()
                return
            with self.path.open("rb") as file:
                while self.chunks < self._count:
                    chunk = file.read(min(CHUNK_BYTES, self._size - self.chunks * CHUNK_BYTES))
                    if leaf_hash(chunk) != self._leaf(self.chunks):
                        break
                    self.chunks += 1
        except OSError:
            return

    def _leaf(self, index: int) -> bytes:
        return bytes(self._leaves[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES])

    def _root(self) -> bytes:
        return root_of([self._leaf(index) for index in range(self._count)])

    def _write_leaves(self) -> None:
        descriptor = os.open(self._leaves_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._leaves)
