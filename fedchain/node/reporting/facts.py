"""What a report of a job shows: plain values, all of them read from the chain."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from fedchain.node.anomalies import Anomaly
from fedchain.node.settlements import JobSettlement
from fedchain.types import JobId

E6 = 1_000_000

SpanKind = Literal["acceptance", "alignment", "preparation", "round", "evaluation"]


@dataclass(frozen=True)
class PartyLine:
    """A party of the roster.

    Attributes:
        name: in the registry; its address where there is none.
        role: `active` or `passive`.
        standing: of the participant now, such as `accredited`.
        strikes: that count against it now, from all jobs.
    """

    name: str
    address: str
    role: str
    standing: str
    strikes: int


@dataclass(frozen=True)
class ShareLine:
    """What a party contributed.

    Attributes:
        share_e6: Shapley value, scale 1e6.
        part: of the whole gain, 0..1; 0 where there is no gain.
        split_gain: its part of the split gain of training, 0..1; None where the job does not tell. Gameable.
        p_value: of the free-rider test, 0..1; None of the active party, and where the job does not tell.
        power: of that test at the effect that was found, 0..1; it follows from the p-value.
        detectable_e6: the smallest effect in nats per row, scale 1e6, that the test finds four times in five; likewise.
        recorded_e6: what the active party recorded instead, where that is another share; else None.
    """

    party: str
    share_e6: int
    part: float
    split_gain: float | None = None
    p_value: float | None = None
    power: float | None = None
    detectable_e6: int | None = None
    recorded_e6: int | None = None


@dataclass(frozen=True)
class Running:
    """The shares that the model had after its rounds.

    Attributes:
        rounds: after which rounds of the model, ascending.
        shares_e6: one tuple for each of them, in roster order, scale 1e6.
    """

    rounds: tuple[int, ...]
    shares_e6: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class ContributionFacts:
    """Contributions: those of the posted losses where an audit has posted any, else those that were recorded.

    Attributes:
        full_e6, empty_e6: utility of all parties, and of nobody, scale 1e6.
        rows: held-out rows behind the utilities; None where the job does not tell.
        shares: in roster order.
        running: None where the job does not tell.
        block: of the record.
        computed: whether the contract has computed the shares, from posted losses; else they are one party's word.
        method: by which the job has them measured, as its spec says; empty where that is none.
    """

    full_e6: int
    empty_e6: int
    rows: int | None
    shares: tuple[ShareLine, ...]
    running: Running | None
    block: int
    computed: bool = False
    method: str = ""

    @property
    def is_recorded_otherwise(self) -> bool:
        """Whether the active party recorded other shares than the posted losses give."""
        return any(line.recorded_e6 is not None for line in self.shares)


@dataclass(frozen=True)
class AuditVote:
    """An auditor's vote.

    Attributes:
        vote: `none`, `sound` or `false`.
        reason: why it is false; empty otherwise.
    """

    party: str
    vote: str
    reason: str


@dataclass(frozen=True)
class AuditFacts:
    """The audit of a job's contributions, as far as it has come.

    Attributes:
        outcome: one of the contract's words; `under way` until there is one.
        stage: what has been done last: `labels committed`, `frozen`, `losses posted`, `seed known` or `concluded`.
        rows, opened_rows: held out, and of these to be opened.
        shares840: exact Shapley values of the posted utilities, times 840e6, in roster order; empty until posted.
        votes: of the auditors.
        silent, weak: parties that kept silent, and parties that failed the free-rider test.
        seed: hex, empty until it is known.
    """

    outcome: str
    stage: str
    rows: int
    opened_rows: int
    shares840: tuple[int, ...]
    votes: tuple[AuditVote, ...]
    silent: tuple[str, ...]
    weak: tuple[str, ...]
    seed: str

    @property
    def is_over(self) -> bool:
        """Whether it has an outcome."""
        return self.stage == "concluded"


@dataclass(frozen=True)
class Span:
    """A stage of the job: acceptance, alignment, preparation for round 1, one attempt at a round, or evaluation.

    Attributes:
        round, attempt: of a round, else 0.
        begin, end: times of the blocks, seconds since 1970; `end` is None while it lasts.
        accepted, rejected: uplinks.
        bytes: of the accepted uplinks' payloads.
    """

    what: SpanKind
    round: int
    attempt: int
    begin: int
    end: int | None
    accepted: int
    rejected: int
    bytes: int

    @property
    def seconds(self) -> int | None:
        """How long it took; whole seconds, as blocks have them."""
        return None if self.end is None else self.end - self.begin


@dataclass(frozen=True)
class JobReport:
    """Everything that a report shows.

    Attributes:
        name: the job's, empty where its spec is no job spec.
        chain_id: of the chain.
        phase: of the job, in lower case.
        ended: why it was aborted or has expired, and by whom; else empty.
        block, time: the newest block when it was read, and its time in seconds since 1970.
        begun: time of the proposal's block.
        rounds_done: finished rounds of training.
        model_digest: hex, empty until the job is completed.
        contribution, audit, settlement: None where there is none, or none yet.
        notes: what the chain does not tell, one sentence each.
    """

    job_id: JobId
    name: str
    chain_id: int
    phase: str
    ended: str
    block: int
    time: int
    begun: int
    rounds_done: int
    model_digest: str
    parties: tuple[PartyLine, ...]
    contribution: ContributionFacts | None
    audit: AuditFacts | None
    settlement: JobSettlement | None
    spans: tuple[Span, ...]
    anomalies: tuple[Anomaly, ...]
    notes: tuple[str, ...]

    @property
    def active(self) -> str:
        """Name of the active party."""
        return self.parties[0].name

    @property
    def stages(self) -> set[str]:
        """Which kinds of stages there were; `again` stands for a round that was tried again."""
        return {span.what for span in self.spans} | {"again" for span in self.spans if span.attempt}

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
