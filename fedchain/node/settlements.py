"""A job's settlement in words: who gets how many points, who does not and why, and whether that can still change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fedchain.chain import ChainEvent, Consortium, SettlementDisputed, SettlementResolved, SettlementView
from fedchain.chain.artifacts import AUDITS
from fedchain.node.audit.story import read_story
from fedchain.protocol.audits import AuditState
from fedchain.types import JobId, Withheld

Standing = Literal["not settled", "disputable", "disputed", "final", "rejected"]
_WITHHELD = {
    Withheld.FAULT: "a fault in this job",
    Withheld.WEAK: "failed the free-rider test",
    Withheld.SILENT: "was silent in the audit",
    Withheld.OUTCOME: "the audit did not verify the shares",
    Withheld.SHARD: "recorded another shard than it froze",
    Withheld.REJECTED: "stewards rejected the settlement",
}


@dataclass(frozen=True)
class PointsLine:
    """A party's part.

    Attributes:
        points: what its share amounts to.
        withheld: why it does not get them; empty if it does.
    """

    party: str
    points: int
    withheld: str

    @property
    def paid(self) -> int:
        """What it gets of them."""
        return 0 if self.withheld else self.points


@dataclass(frozen=True)
class JobSettlement:
    """The settlement of a job with a budget.

    Attributes:
        state: `not settled`, `disputable`, `disputed`, `final`, or `rejected` by the stewards.
        budget: points to be shared.
        lines: in roster order; empty until it is settled.
        settled_at, final_at: seconds since 1970, by the chain's clock; None until it is settled. After `final_at` it
            cannot be disputed any more.
        disputed_by: a party's name; empty if nobody has.
        dispute, resolution: the party's reason, and that of the stewards; empty where there is none.
    """

    state: Standing
    budget: int
    lines: tuple[PointsLine, ...] = ()
    settled_at: int | None = None
    final_at: int | None = None
    disputed_by: str = ""
    dispute: str = ""
    resolution: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        document = asdict(self)
        for line, one in zip(document["lines"], self.lines, strict=True):
            line["paid"] = one.paid
        return document


def has_audits(consortium: Consortium) -> bool:
    """Whether the deployment has the contracts of audits and settlements; older ones do not."""
    return AUDITS in consortium.deployment.addresses


def read_audit(consortium: Consortium, job_id: JobId) -> AuditState | None:
    """How far a job's contribution audit is; None where it has none.

    Raises:
        ChainUnreachableError: the chain's node does not answer.
    """
    return consortium.audits.state(job_id) if has_audits(consortium) else None


def has_open_audit(consortium: Consortium, job_id: JobId) -> bool:
    """Whether a job's losses are posted, and its audit is not concluded.

    Raises:
        ChainUnreachableError: the chain's node does not answer.
    """
    state = read_audit(consortium, job_id)
    return state is not None and bool(state.losses_root) and not state.outcome


def read_settlement(
    consortium: Consortium,
    job_id: JobId,
    name_of: Callable[[str], str],
    events: Sequence[ChainEvent] | None = None,
    state: AuditState | None = None,
) -> JobSettlement | None:
    """A job's settlement; None where there is nothing to settle.

    Args:
        consortium: to read from.
        job_id: of a job that exists.
        name_of: of an address.
        events: the job's, where they were read already; else they are read if somebody has disputed.
        state: of its audit, likewise.

    Raises:
        ChainUnreachableError: the chain's node does not answer.
    """
    state = read_audit(consortium, job_id) if state is None else state
    if state is None or not state.terms.budget:
        return None
    found = consortium.settlements.settlement(job_id)
    if found is None:
        return JobSettlement("not settled", state.terms.budget)
    if events is None:
        events = read_story(consortium, job_id).events if found.disputed_by else ()
    disputes = [event.reason for event in events if isinstance(event, SettlementDisputed)]
    resolutions = [event.reason for event in events if isinstance(event, SettlementResolved)]
    return JobSettlement(
        standing_of(found),
        state.terms.budget,
        tuple(
            PointsLine(name_of(address), points, withheld_words(why))
            for address, points, why in zip(found.roster, found.points, found.withheld, strict=True)
        ),
        found.settled_at,
        found.final_at,
        name_of(found.disputed_by) if found.disputed_by else "",
        disputes[-1] if disputes else "",
        resolutions[-1] if resolutions else "",
    )


def standing_of(view: SettlementView) -> Standing:
    """Whether a settlement can still change, in a word."""
    if view.resolved is False:
        return "rejected"
    if view.disputed_by and view.resolved is None and not view.is_final:
        return "disputed"
    return "final" if view.is_final else "disputable"


def withheld_words(withheld: Withheld) -> str:
    """Why points are withheld; empty if they are not."""
    return ", ".join(words for bit, words in _WITHHELD.items() if bit in withheld)
