"""Small payloads of pipelined rounds, served from the record of what this node has sent: they lie in no file."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

from fedchain.crypto.merkle import CHUNK_BYTES, leaf_hashes
from fedchain.exchange.holding import Access, Grant, Holding
from fedchain.exchange.state import NodeState
from fedchain.exchange.wire import RUN_BYTES
from fedchain.types import JobId


@dataclass(frozen=True)
class RecordedPayload:
    """A payload in memory, to be sent piece by piece; as `StoredPayload`.

    Attributes:
        holding: what is known of it.
        leaves: 32 bytes for each chunk.
        payload: its bytes.
    """

    holding: Holding
    leaves: bytes
    payload: bytes

    def runs(self, first: int) -> Iterator[tuple[int, bytes]]:
        """Runs of up to four chunks from chunk `first` on."""
        for start in range(first * CHUNK_BYTES, len(self.payload), RUN_BYTES):
            yield start // CHUNK_BYTES, self.payload[start : start + RUN_BYTES]


class RecordedPayloads:
    """Who may fetch them: an uplink's recipients, while its job is worked on here. Thread-safe."""

    def __init__(self, state: NodeState) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._rosters: dict[JobId, tuple[str, ...]] = {}

    def serve(self, job_id: JobId, roster: tuple[str, ...]) -> None:
        """Serve a pipelined job's payloads from now on, those of an earlier process as well.

        Args:
            roster: addresses.
        """
        with self._lock:
            self._rosters[job_id] = roster

    def forget(self, job_id: JobId) -> None:
        """The job has ended: nobody needs them any more."""
        with self._lock:
            self._rosters.pop(job_id, None)

    def open(self, digest: bytes) -> RecordedPayload | None:
        """A payload that this node has recorded to send it, and who may fetch it; None if there is none."""
        with self._lock:
            rosters = dict(self._rosters)
        grants, payload = [], b""
        for job_id, roster in rosters.items():
            for uplink in self._state.uplinks_of(job_id, digest):
                if uplink.payload is not None:
                    payload = uplink.payload
                    grants.append(Grant(Access(job_id, (uplink.recipient,) if uplink.recipient else roster)))
        if not grants:
            return None
        return RecordedPayload(Holding(digest, len(payload), tuple(grants)), b"".join(leaf_hashes(payload)), payload)
