"""Settlements of contributions, typed. The binding of `Settlement`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedchain.chain.abi import address_or_none
from fedchain.chain.artifacts import AUDITS, SETTLEMENTS
from fedchain.chain.contribution_audits import PAGE, audits_of
from fedchain.chain.reads import job_id_bytes
from fedchain.chain.stewarding import Read, Vote, Write
from fedchain.chain.transaction import Receipt
from fedchain.types import JobId, Withheld

MAX_SETTLEMENT_REASON_BYTES = 256
"""As in `Settlement`."""

_RESOLVED = (None, True, False)
"""By number of `Settlement.Resolution`."""


@dataclass(frozen=True)
class SettlementView:
    """A job's settlement. Tuples are in roster order.

    Attributes:
        roster: addresses, the active party first.
        points: what each party's share amounts to; their sum is the budget if any share is positive, else 0.
        withheld: why a party does not get its points; falsy: it gets them. Withheld points are nobody's.
        settled_at: seconds of the chain's clock.
        final_at: after this second it can no longer be disputed.
        disputed_by: address of the party that disputed it, "" if none did.
        resolved: what the stewards decided about the dispute: True it stands, False it does not, None not decided.
        is_final: whether it can be disputed no more, and is decided where it was: `points` less those withheld count in
            `totals`. A fault that is proven or overturned later still changes what is withheld.
    """

    roster: tuple[str, ...]
    points: tuple[int, ...]
    withheld: tuple[Withheld, ...]
    settled_at: int
    final_at: int
    disputed_by: str
    resolved: bool | None
    is_final: bool

    @property
    def paid(self) -> tuple[int, ...]:
        """What each party gets, once it is final."""
        return tuple(0 if why else points for points, why in zip(self.points, self.withheld, strict=True))


@dataclass(frozen=True)
class Totals:
    """A party's points over all its jobs.

    Attributes:
        points: of final settlements, those it got.
        withheld: of final settlements, those it did not get.
        jobs: how many settlements it is part of, final or not.
    """

    points: int
    withheld: int
    jobs: int


class Settlements:
    """The settlements of a consortium; `Consortium.settlements` is one.

    Every method raises `ChainUnreachableError` when the chain's node does not answer; those that write wait until it is
    mined, and raise `TransactionError` with the contract's typed error. Everything is public.

    Args:
        read: calls a view: contract, function, arguments.
        write: sends a transaction: the same.
        addresses: contract name to checksummed address.
    """

    def __init__(self, read: Read, write: Write, addresses: Mapping[str, str]) -> None:
        self._read = read
        self._write = write
        self._addresses = addresses

    def settle(self, job_id: JobId) -> Receipt:
        """Anyone: turn the audited shares of a completed job into points, once.

        Raises:
            TransactionError: `WrongPhase(…)`, `AuditNotConcluded(…)`, `NothingToSettle(…)`, `AlreadySettled(…)` …
        """
        return self._write(SETTLEMENTS, "settle", job_id_bytes(job_id))

    def dispute(self, job_id: JobId, reason: str) -> Receipt:
        """Roster party: object to a settlement; it then waits for the stewards.

        Args:
            job_id: settled, and within its window.
            reason: 1..`MAX_SETTLEMENT_REASON_BYTES` bytes, public.

        Raises:
            TransactionError: `NotSettled(…)`, `AlreadyDisputed(…)`, `DeadlineOver(…)`, `ReasonInvalid(…)` …
        """
        return self._write(SETTLEMENTS, "dispute", job_id_bytes(job_id), reason)

    def resolve(self, job_id: JobId, stands: bool, reason: str) -> Vote:
        """Steward: vote on a disputed settlement, for this very reason.

        Args:
            job_id: of a disputed settlement.
            stands: whether it counts, also where auditors disagreed (outcome disputed); else nobody gets points of it.
            reason: 1..`MAX_SETTLEMENT_REASON_BYTES` bytes, public; only votes for the same reason count together.
        """
        receipt = self._write(SETTLEMENTS, "resolve", job_id_bytes(job_id), stands, reason)
        return Vote.of(receipt, self._addresses[SETTLEMENTS])

    def settlement(self, job_id: JobId) -> SettlementView | None:
        """A job's settlement, None if it has none."""
        (found,) = self._read(SETTLEMENTS, "settlementOf", job_id_bytes(job_id))
        if not found["settledAt"]:
            return None
        return SettlementView(
            roster=found["roster"],
            points=found["points"],
            withheld=tuple(map(Withheld, found["withheld"])),
            settled_at=found["settledAt"],
            final_at=found["finalAt"],
            disputed_by=address_or_none(found["disputedBy"]) or "",
            resolved=_RESOLVED[found["resolution"]],
            is_final=found["isFinal"],
        )

    def totals(self, address: str) -> Totals:
        """A party's points over all jobs; asked in pages, as its audits are."""
        count = int(self._read(AUDITS, "auditCount", address)[0])
        pages = [self._read(SETTLEMENTS, "totalsOf", address, first, PAGE) for first in range(0, count, PAGE)]
        return Totals(*(sum(column) for column in zip(*pages, strict=True))) if pages else Totals(0, 0, 0)

    def history(self, address: str) -> list[JobId]:
        """The jobs whose settlements a party is part of, in the order in which their audits were concluded."""
        return [one for one in audits_of(self._read, address) if self.settlement(one) is not None]
