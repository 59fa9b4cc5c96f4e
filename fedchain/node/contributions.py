"""What the chain holds of a job's contributions, for `fedchain contributions` and the HTTP API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fedchain.chain import Consortium, ContributionRecord, JobProposed, JobView, UplinkJudged
from fedchain.contribution.gain import gain_shares
from fedchain.contribution.leaf_mask import shapley_e6
from fedchain.contribution.losses import utilities_e6
from fedchain.errors import ConfigError, MessageError
from fedchain.federation.spec import JobSpec
from fedchain.messages import Contribution, decode
from fedchain.node.settlements import JobSettlement, read_audit, read_settlement
from fedchain.protocol.audits import AuditState
from fedchain.types import AuditReason, JobId, Kind, Reason

_BLOCKS = 500
_VOTES = ("none", "sound", "false")
_SILENT = ((1, "did not freeze"), (2, "did not post"), (4, "did not reveal"), (8, "did not vote"))


@dataclass(frozen=True)
class Contributions:
    """A job's recorded shares, and what belongs to them.

    Attributes:
        job_id: the job.
        names: of the parties, roster order.
        recorded_e6: Shapley value by party in roster order, scale 1e6, as the active party has recorded it; they sum to
            `full_e6 - empty_e6`. Empty where it has posted losses for an audit, and recorded nothing.
        full_e6, empty_e6: utility of all parties, and of nobody, scale 1e6; recorded likewise, else by posted losses.
        block: in which they were recorded; None where they were not.
        message: what the active party published with them; None where the chain does not hold it.
        audit: of the job; None where it has none.
        settlement: of an audited job with a budget.
        method: by which the job has them measured (`ContributionSpec.method`); empty where its spec cannot be read.
    """

    job_id: JobId
    names: tuple[str, ...]
    recorded_e6: dict[str, int]
    full_e6: int
    empty_e6: int
    block: int | None
    message: Contribution | None = None
    audit: AuditState | None = None
    settlement: JobSettlement | None = None
    method: str = ""

    @property
    def shares_e6(self) -> dict[str, int]:
        """What counts: of an audited job what follows from the posted losses, else what is recorded."""
        if self.audit is None or not self.audit.loss_sums:
            return self.recorded_e6
        return dict(zip(self.names, shapley_e6(utilities_e6(self.audit.loss_sums, self.audit.terms.rows)), strict=True))

    @property
    def differs(self) -> bool:
        """Whether the active party has recorded other shares than follow from what it posted."""
        return self.shares_e6 != self.recorded_e6

    @property
    def parts(self) -> dict[str, float]:
        """Each party's part of the whole gain."""
        return gain_shares(self.shares_e6)

    def by_name(self, values: tuple[Any, ...]) -> dict[str, Any]:
        """Values in roster order by name; empty where there is not one for each."""
        return dict(zip(self.names, values, strict=True)) if len(values) == len(self.names) else {}

    @property
    def running_e6(self) -> tuple[tuple[int, ...], ...]:
        """Shares along the rounds; none where the active party told them of another number of parties."""
        rounds = () if self.message is None else self.message.rounds_e6
        return rounds if all(len(one) == len(self.names) for one in rounds) else ()

    def votes(self) -> dict[str, str]:
        """Of an audited job: `sound`, `false: REASON` or `none` by passive party."""
        if self.audit is None:
            return {}
        reasons = [AuditReason(one) for one in self.audit.reasons]
        return {
            name: f"{_VOTES[vote]}: {reason.name}" if vote == 2 else _VOTES[vote]
            for name, vote, reason in list(zip(self.names, self.audit.votes, reasons, strict=True))[1:]
        }

    def silent(self) -> dict[str, list[str]]:
        """Of a concluded audit: what each party that was silent let pass."""
        if self.audit is None:
            return {}
        found = {
            name: [text for bit, text in _SILENT if bits & bit]
            for name, bits in self.by_name(self.audit.silent).items()
        }
        return {name: steps for name, steps in found.items() if steps}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        document: dict[str, Any] = {
            "job_id": self.job_id,
            "method": self.method or None,
            "contributions": self.parts,
            "contributions_e6": self.shares_e6,
            "recorded_e6": self.recorded_e6,
            "utility_full_e6": self.full_e6,
            "utility_empty_e6": self.empty_e6,
            "block": self.block,
            "measured": None,
            "audit": None,
            "settlement": None,
        }
        if self.message is not None:
            document["measured"] = {
                "rows": self.message.rows,
                "running_e6": {
                    name: [point[place] for point in self.running_e6] for place, name in enumerate(self.names)
                },
                "split_gain_e6": self.by_name(self.message.gains_e6),
                "p_values_e6": self.by_name(self.message.p_values_e6),
                "powers_e6": self.by_name(self.message.powers_e6),
            }
        if self.audit is not None:
            document["audit"] = _audit_document(self, self.audit)
        if self.settlement is not None:
            document["settlement"] = self.settlement.as_dict()
        return document


def _audit_document(found: Contributions, audit: AuditState) -> dict[str, Any]:
    return {
        "outcome": audit.outcome or "under way",
        "rows": audit.terms.rows,
        "opened_rows": audit.terms.opened_rows,
        "budget": audit.terms.budget,
        "shares_840e6": found.by_name(audit.shares840),
        "weak": [name for place, name in enumerate(found.names) if audit.weak >> place & 1],
        "votes": found.votes(),
        "silent": found.silent(),
        "losses_root": audit.losses_root.hex(),
        "seed": audit.seed.hex(),
    }


def read_contributions(consortium: Consortium, view: JobView, spec: bytes = b"") -> Contributions:
    """Read them back from the chain.

    Args:
        consortium: to read from.
        view: the job.
        spec: the job's, canonical, where it is at hand: else blocks are read back to the job's proposal for it.

    Raises:
        ConfigError: none are recorded (yet).
        ChainUnreachableError: the chain's node does not answer.
    """
    record, audit = consortium.contribution(view.job_id), read_audit(consortium, view.job_id)
    if record is None and (audit is None or not audit.loss_sums):
        raise ConfigError(
            f"job {view.job_id} has no contribution recorded: it is {view.phase.name.lower()}; "
            "the active party records it when it evaluates the finished model"
        )
    names = tuple(consortium.participant(address).name for address in view.roster)
    by_address = dict(zip(view.roster, names, strict=True))
    message, spec = _published(consortium, view, record, spec)
    recorded: dict[str, int] = {}
    if record is None:
        assert audit is not None
        utilities = utilities_e6(audit.loss_sums, audit.terms.rows)
        full, empty = utilities[-1], utilities[0]
    else:
        recorded, full, empty = dict(zip(names, record.shares_e6, strict=True)), record.full, record.empty
    return Contributions(
        view.job_id,
        names,
        recorded,
        full,
        empty,
        None if record is None else record.block_number,
        message,
        audit,
        None if audit is None else read_settlement(consortium, view.job_id, by_address.__getitem__, state=audit),
        _method(spec),
    )


def _published(
    consortium: Consortium, view: JobView, record: ContributionRecord | None, spec: bytes
) -> tuple[Contribution | None, bytes]:
    """The last message before a record, whatever it says, accepted shortly before; and the job's spec."""
    message, end = None, consortium.client.head() if record is None else record.block_number
    while end >= 0 and (message is None or not spec):
        start = max(0, end - _BLOCKS + 1)
        events = [one for one in consortium.events(start, end) if getattr(one, "job_id", None) == view.job_id]
        for event in reversed(events):
            if isinstance(event, JobProposed):
                return message, event.spec
            if message is None and isinstance(event, UplinkJudged):
                message = _message(event, view.roster[0])
        end = start - 1
    return message, spec


def _method(spec: bytes) -> str:
    try:
        return JobSpec.from_bytes(spec).contribution.method
    except ConfigError:  # of a later fedchain; what is recorded can be read all the same
        return ""


def _message(event: UplinkJudged, active: str) -> Contribution | None:
    if (event.envelope.kind, event.reason, event.sender) != (Kind.CONTRIBUTION, Reason.ACCEPTED, active):
        return None
    try:
        return decode(event.payload, Contribution)
    except MessageError:
        return None
