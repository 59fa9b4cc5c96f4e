"""What a job's policy allows a party to send, looked at before it is sent: whoever proposes a job writes its bounds.

An uplink beyond them would be rejected by the contract, and a strike for a party that only does its part.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from fedchain.chain import Consortium
from fedchain.chain.overdue import next_block_time
from fedchain.chain.views import JobView
from fedchain.errors import DeadlineError, JobBoundError, TransactionError
from fedchain.exchange.records import OutgoingSlot
from fedchain.exchange.state import NodeState
from fedchain.types import JobId, PartyId, Phase


@dataclass(frozen=True)
class Bounds:
    """Of a job's policy.

    Attributes:
        max_bytes: of one uplink.
        max_uplinks: of one party, accepted while one round and attempt is in force.
        overlaps: whether uplinks of the round before count as well: they may be committed while this one is in force.
    """

    max_bytes: int
    max_uplinks: int
    overlaps: bool = False


@dataclass
class Counter:
    """How many uplinks of this party there are in a round and attempt. Thread-safe."""

    state: NodeState
    _numbers: dict[tuple[JobId, int, int], int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def require(self, slot: OutgoingSlot, size: int, bounds: Bounds) -> None:
        """Before a new uplink is recorded.

        Raises:
            JobBoundError: the contract would reject it; names the bound.
        """
        what = f"round {slot.round} step {slot.step}: a {slot.kind.name.lower()}"
        if size > bounds.max_bytes:
            raise JobBoundError(f"{what} of {size} bytes is above the job's max_payload_bytes, {bounds.max_bytes}")
        with self._lock:
            number = self._number(slot.job_id, slot.round, slot.attempt)
            before = self._number(slot.job_id, slot.round - 1, slot.attempt) if bounds.overlaps else 0
        if number + before >= bounds.max_uplinks:
            those = f" ({before} of the round before, which may be committed with it)" if before else ""
            raise JobBoundError(
                f"{what} would be uplink {number + before + 1} of this party{those}, above the job's "
                f"max_uplinks_per_round, {bounds.max_uplinks}"
            )

    def add(self, slot: OutgoingSlot) -> None:
        """A new uplink was recorded."""
        with self._lock:
            key = (slot.job_id, slot.round, slot.attempt)
            if key in self._numbers:
                self._numbers[key] += 1

    def _number(self, job_id: JobId, round: int, attempt: int) -> int:
        key = (job_id, round, attempt)
        if key not in self._numbers:
            for old in [one for one in self._numbers if one[0] == job_id and abs(one[1] - round) > 1]:
                del self._numbers[old]
            self._numbers[key] = sum(one.attempt == attempt for one in self.state.uplinks(job_id, round))
        return self._numbers[key]


def require_time(consortium: Consortium, view: JobView, me: str, waited_for: tuple[PartyId, ...]) -> int:
    """Before uplinks of training are sent: say that this party waited, if it is that late, or do not send at all.

    Uplinks that come after the deadline are rejected; from a party that attended in time that is no fault, and its
    transactions come in the order in which it sends them.

    Args:
        view: of the job, as it is now.
        me: this party's address.
        waited_for: for whom it waited longest in the round, for the error.

    Returns:
        Seconds that are left; 0 where there is no deadline.

    Raises:
        DeadlineError: the round's time is over, by the chain's clock.
    """
    if view.phase is not Phase.TRAINING or not view.deadline:
        return 0
    now = next_block_time(consortium)
    if now > view.deadline:
        names = " and ".join(map(str, waited_for))
        why = f"; this party waited longest for {names}" if names else ""
        raise DeadlineError(
            f"round {view.round}, attempt {view.attempt}: its time on the chain was over {now - view.deadline} s "
            f"before this party's uplinks could be sent{why}",
            waited_for,
        )
    if now > view.deadline - view.policy.round_seconds / 2 and not consortium.has_attended(view.job_id, me):
        try:
            consortium.attend(view.job_id)
        except TransactionError as error:
            raise DeadlineError(f"round {view.round}: its time on the chain is over ({error})", waited_for) from error
    return view.deadline - now


def is_over(view: JobView, round: int, attempt: int) -> bool:
    """Whether a round and attempt of training, a party's, were overtaken: a later one is in force."""
    if view.phase is not Phase.TRAINING:
        return False
    if not view.policy.pipelined:
        return (round, attempt) < (view.round, view.attempt)
    return (attempt, round + 1) < (view.attempt, view.round)
