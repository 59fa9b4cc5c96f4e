"""A party's contributions over all jobs of the consortium: shares, audits, points, faults."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fedchain.chain import Consortium, Participant
from fedchain.contribution.gain import gain_shares
from fedchain.contribution.shapley import rounded_e6
from fedchain.node.settlements import has_audits, standing_of, withheld_words
from fedchain.types import AuditOutcome, JobId, Phase

_SAY_NOTHING = (AuditOutcome.FALSE.text, AuditOutcome.FAILED.text)


@dataclass(frozen=True)
class JobLine:
    """One job in which contributions are recorded, or audited.

    Attributes:
        share_e6: the party's Shapley value, scale 1e6: of the posted losses, as the contract has computed it; where
            no audit has posted any, as the active party recorded it.
        part: of the whole gain; 0 where there is none.
        parties: of the job.
        audit: how the audit ended; empty where there is none, or none yet.
        points: of the settlement; None where there is none.
        withheld: why the party does not get them; empty if it does.
        settlement: whether it can still change; empty where there is none.
        block: of the record; None where nothing is recorded.
        recorded_e6: what the active party recorded instead, where that is another; else None.
        phase: of the job.
    """

    job_id: JobId
    share_e6: int
    part: float
    parties: int
    audit: str
    points: int | None
    withheld: str
    settlement: str
    block: int | None
    recorded_e6: int | None = None
    phase: str = Phase.COMPLETED.name.lower()

    @property
    def counts(self) -> bool:
        """Whether its part says something: the job was completed, and no audit found the shares false or failed."""
        return self.phase == Phase.COMPLETED.name.lower() and self.audit not in _SAY_NOTHING


@dataclass(frozen=True)
class History:
    """A party's.

    Attributes:
        name: in the registry.
        jobs: in the order of their proposals.
        points, withheld: of final settlements, what it got and did not get.
        faults, overturned: faults of it that were answered by a strike or a suspension: those that stand, and others.
    """

    name: str
    address: str
    jobs: tuple[JobLine, ...]
    points: int
    withheld: int
    faults: int
    overturned: int

    @property
    def verified(self) -> int:
        """Jobs whose shares an audit has verified."""
        return sum(job.audit == "verified" for job in self.jobs)

    @property
    def mean_part(self) -> float | None:
        """Of the gains of its jobs whose parts count; None where none does."""
        parts = [job.part for job in self.jobs if job.counts]
        return sum(parts) / len(parts) if parts else None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"verified": self.verified, "mean_part": self.mean_part}


def read_histories(consortium: Consortium, participants: Sequence[Participant]) -> list[History]:
    """What the contracts hold of each; asks up to four times per job.

    Raises:
        ChainUnreachableError: the chain's node does not answer.
    """
    audited = has_audits(consortium)
    found: dict[str, list[JobLine]] = {one.address: [] for one in participants}
    outcomes = {
        address: {job_id: outcome.text for job_id, outcome in consortium.audits.history(address)} if audited else {}
        for address in found
    }
    for job_id in consortium.jobs():
        record = consortium.contribution(job_id)
        state = consortium.audits.state(job_id) if audited else None
        if state is not None and not state.shares840:
            state = None
        if record is None and state is None:
            continue
        view = consortium.job(job_id)
        if not set(found) & set(view.roster):
            continue
        recorded = None if record is None else record.shares_e6
        shares = recorded if state is None else rounded_e6(state.shares840)
        assert shares is not None
        parts = gain_shares(dict(zip(view.roster, shares, strict=True)))
        settled = consortium.settlements.settlement(job_id) if audited else None
        for at, address in enumerate(view.roster):
            if address not in found:
                continue
            found[address].append(
                JobLine(
                    job_id,
                    shares[at],
                    parts[address],
                    len(view.roster),
                    outcomes[address].get(job_id, ""),
                    None if settled is None else settled.points[at],
                    "" if settled is None else withheld_words(settled.withheld[at]),
                    "" if settled is None else standing_of(settled),
                    None if record is None else record.block_number,
                    None if recorded is None or recorded[at] == shares[at] else recorded[at],
                    view.phase.name.lower(),
                )
            )
    histories = []
    for one in participants:
        points = withheld = 0
        if audited:
            totals = consortium.settlements.totals(one.address)
            points, withheld = totals.points, totals.withheld
        upheld, overturned = consortium.faults.tally_of(one.address)
        histories.append(
            History(one.name, one.address, tuple(found[one.address]), points, withheld, upheld, overturned)
        )
    return histories
