"""What a store knows of one payload beside its bytes: size, leaves, and who may have it. A file beside the payload."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec

from fedchain.crypto.merkle import CHUNK_BYTES, DIGEST_BYTES, leaf_hash
from fedchain.errors import DigestMismatchError
from fedchain.exchange.wire import MAX_PAYLOAD_BYTES, RUN_CHUNKS
from fedchain.types import JobId

SUFFIX = ".access"
_FORMAT = 1
_MAX_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Access:
    """Who may fetch a payload, and for which job.

    Attributes:
        job_id: the job of the uplink that commits to it.
        recipients: addresses of the uplink's recipients: the whole roster, or one party; () for nobody.
    """

    job_id: JobId
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class Grant:
    """An access as kept; `ended` is when the job ended (seconds since 1970), None while it is on."""

    access: Access
    ended: float | None = None


@dataclass(frozen=True)
class Holding:
    """One payload of a store.

    Attributes:
        digest: Merkle root.
        size: bytes.
        grants: one per job.
    """

    digest: bytes
    size: int
    grants: tuple[Grant, ...]

    def allows(self, address: str) -> bool:
        """Whether that address may fetch it."""
        wanted = address.lower()
        return any(wanted == one.lower() for grant in self.grants for one in grant.access.recipients)

    def with_access(self, access: Access) -> Holding:
        """With one more job, or more recipients in a job that it has already (which is then on again)."""
        mine = [grant for grant in self.grants if grant.access.job_id == access.job_id]
        before = mine[0].access.recipients if mine else ()
        lowered = {one.lower() for one in before}
        joined = before + tuple(one for one in access.recipients if one.lower() not in lowered)
        others = tuple(grant for grant in self.grants if grant.access.job_id != access.job_id)
        return replace(self, grants=(*others, Grant(Access(access.job_id, joined))))

    def ended(self, job_id: JobId, now: float) -> Holding:
        """With a job's end noted; the first end counts."""
        return replace(
            self,
            grants=tuple(
                replace(grant, ended=now) if grant.access.job_id == job_id and grant.ended is None else grant
                for grant in self.grants
            ),
        )


class _GrantFile(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    job: str
    recipients: list[str]
    ended: float | None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: int
    size: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAYLOAD_BYTES)]
    leaves: bytes
    grants: list[_GrantFile]


def holding_bytes(holding: Holding, leaves: bytes) -> bytes:
    """The content of the file beside a payload."""
    grants = [_GrantFile(one.access.job_id, list(one.access.recipients), one.ended) for one in holding.grants]
    return msgspec.msgpack.encode(_File(_FORMAT, holding.size, leaves, grants))


def read_holding(path: Path) -> tuple[Holding, bytes]:
    """A payload's holding and its leaves, from the file beside it.

    Raises:
        OSError: cannot be read.
        ValueError: not such a file.
    """
    with path.open("rb") as file:
        raw = file.read(_MAX_BYTES)
    try:
        found = msgspec.msgpack.decode(raw, type=_File)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    if found.format != _FORMAT or len(found.leaves) != DIGEST_BYTES * -(-found.size // CHUNK_BYTES):
        raise ValueError("another format")
    digest = bytes.fromhex(path.name.removesuffix(SUFFIX))
    grants = tuple(Grant(Access(JobId(one.job), tuple(one.recipients)), one.ended) for one in found.grants)
    return Holding(digest, found.size, grants), found.leaves


@dataclass(frozen=True)
class StoredPayload:
    """A payload to be read piece by piece.

    Attributes:
        path: its file.
        holding: what is known of it.
        leaves: 32 bytes for each chunk.
    """

    path: Path
    holding: Holding
    leaves: bytes

    def runs(self, first: int) -> Iterator[tuple[int, bytes]]:
        """Runs of up to four chunks from chunk `first` on, each checked against its leaves before it is handed out.

        Raises:
            DigestMismatchError: the file was changed.
            OSError: it cannot be read.
        """
        count = len(self.leaves) // DIGEST_BYTES
        with self.path.open("rb", buffering=0) as file:
            file.seek(first * CHUNK_BYTES)
            for begin in range(first, count, RUN_CHUNKS):
                end = min(begin + RUN_CHUNKS, count)
                length = min(end * CHUNK_BYTES, self.holding.size) - begin * CHUNK_BYTES
                data = file.read(length)
                if len(data) != length or not _are_leaves(data, self.leaves, begin):
                    raise DigestMismatchError(f"{self.path}: the bytes do not match their digest; the file was changed")
                yield begin, data


def _are_leaves(data: bytes, leaves: bytes, first: int) -> bool:
    view = memoryview(data)
    for number, start in enumerate(range(0, len(data), CHUNK_BYTES), first):
        leaf = leaves[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES]
        if leaf_hash(view[start : start + CHUNK_BYTES]) != leaf:
            return False
    return True
