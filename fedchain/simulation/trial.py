"""A trial: one whole job in this process, with an adversary or none, before the contracts; and who was found out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np

from fedchain.chain import Consortium
from fedchain.chain.devchain import ChainKind
from fedchain.chain.inprocess import InProcessConsortium
from fedchain.compute.executor import Executor
from fedchain.contribution.free_rider import DEFAULT_PERMUTATIONS, free_rider_test
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair
from fedchain.data.table import Table
from fedchain.errors import DeadlineError, DecryptionRangeError, FedchainError, PeerError, UplinkRejectedError
from fedchain.federation.answering import answerer_of
from fedchain.federation.evaluating import evaluate
from fedchain.federation.party import JobOutcome, job_party
from fedchain.federation.spec import JobSpec
from fedchain.model.leaf_mask import whole_bits
from fedchain.simulation.adversaries.party import Adversary, Ciphertexts, observed
from fedchain.simulation.chain_audits import ChainAudit
from fedchain.simulation.channel import Channel
from fedchain.simulation.judge import ChainJudge, Delays
from fedchain.types import Answer, PartyId, Status


@dataclass(frozen=True)
class Court:
    """What trials share: a chain with the contracts, and members who serve in one trial after the other.

    Attributes:
        chain: in this process.
        executor, dlog: for the parties.
        honest: members in good standing.
    """

    chain: InProcessConsortium
    executor: Executor
    dlog: DlogTable
    honest: list[Consortium] = field(default_factory=list)
    enrolled: list[int] = field(default_factory=lambda: [0])

    @classmethod
    def open(
        cls, executor: Executor | None = None, dlog: DlogTable | None = None, kind: ChainKind = "embedded"
    ) -> Court:
        """A new chain, of a kind."""
        executor = executor or Executor(1)
        return cls(InProcessConsortium(kind), executor, dlog or DlogTable.build(1 << 15, executor=executor))

    def seat(self, names: tuple[PartyId, ...], culprit: PartyId | None) -> dict[PartyId, Consortium]:
        """Members for a roster: honest ones serve again, whoever is to be found out is new each time."""
        self.honest[:] = [one for one in self.honest if self.standing(one) is Status.ACCREDITED]
        seated: dict[PartyId, Consortium] = {}
        free = iter(list(self.honest))
        for name in names:
            if name == culprit:
                seated[name] = self._enrol()
                continue
            member = next(free, None)
            if member is None:
                member = self._enrol()
                self.honest.append(member)
            self.chain.fund(member)
            seated[name] = member
        return seated

    def standing(self, member: Consortium) -> Status:
        """A member's, on the chain."""
        assert member.sender is not None
        return self.chain.steward.participant(member.sender.address).status

    def _enrol(self) -> Consortium:
        self.enrolled[0] += 1
        return self.chain.enrol(f"member-{self.enrolled[0]}")


@dataclass(frozen=True)
class Trial:
    """What is tried.

    Attributes:
        spec: the job.
        tables: of all parties, as if all were honest.
        culprit: who is at fault, None: nobody is.
        adversary: what it does.
        delays: the honest parties'.
        permutations, seed: of the free-rider test.
    """

    spec: JobSpec
    tables: Mapping[PartyId, Table]
    culprit: PartyId | None = None
    adversary: Adversary | None = None
    delays: Delays = lambda party, round: 0.0
    permutations: int = DEFAULT_PERMUTATIONS
    seed: int = 0


@dataclass
class Findings:
    """What was found.

    Attributes:
        culprit: who is at fault; empty: nobody.
        acted: whether the adversary had an occasion to be at fault, took it, and changed something by it.
        without_effect: how often it did what changes nothing before: took away encryptions of zero, say.
        rounds: of training that were begun.
        ended: `completed`, or the name of the error that ended the job.
        named: whom that error names.
        faults: on the record: party, reason, answer, round.
        flags: flagged histograms: party and round.
        fast, soft, hard: parties whose times were implausibly fast, or passed a learned deadline; one for each time.
        answers: times that were compared with learned deadlines.
        retried: attempts of rounds after the first.
        suspended: parties.
        p_values: of the free-rider test, by passive party; empty unless the job was completed.
        powers: of that test, likewise.
    """

    culprit: str = ""
    acted: bool = False
    without_effect: int = 0
    rounds: int = 0
    ended: str = "completed"
    named: list[str] = field(default_factory=list)
    faults: list[tuple[str, str, str, int]] = field(default_factory=list)
    flags: list[tuple[str, int]] = field(default_factory=list)
    fast: list[str] = field(default_factory=list)
    soft: list[str] = field(default_factory=list)
    hard: list[str] = field(default_factory=list)
    answers: int = 0
    retried: int = 0
    suspended: list[str] = field(default_factory=list)
    p_values: dict[str, float] = field(default_factory=dict)
    powers: dict[str, float] = field(default_factory=dict)
    amplitude: dict[str, float | str] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), separators=(",", ":"))


def run_trial(court: Court, trial: Trial) -> Findings:
    """Run the job to its end, whatever that is, and look at the record.

    Raises:
        FedchainError: the job ended with an error that names no party: a fault of the trial itself.
    """
    spec, tables = trial.spec, dict(trial.tables)
    adversaries: dict[PartyId, Adversary] = {}
    if trial.culprit is not None and trial.adversary is not None:
        adversaries[trial.culprit] = trial.adversary
        tables[trial.culprit] = trial.adversary.table(tables[trial.culprit])
    members = court.seat(spec.names, trial.culprit)
    judge = ChainJudge(court.chain, spec, members, adversaries, trial.delays)
    parties = {}
    for name in spec.names:
        dlog = court.dlog if name == spec.names[0] else None
        measure = getattr(adversaries.get(name), "measure", evaluate)
        party = job_party(spec, name, tables[name], executor=court.executor, dlog=dlog, measure=measure)
        if name in adversaries:
            party = adversaries[name].playing(party)
        parties[name] = observed(party, name, judge.hear)
    audit = ChainAudit(court.chain, members, judge.job_id)
    channel, findings = Channel(tap=judge.tap, audit=audit), Findings()
    outcomes: Mapping[PartyId, JobOutcome] = {}
    try:
        outcomes = channel.run(parties)
    except (PeerError, UplinkRejectedError, DeadlineError) as error:
        findings.ended = type(error).__name__
        findings.named = _named(error)
        if not findings.named:
            raise
        judge.abandon(findings.ended)
    findings.rounds, timing = judge.rounds, judge.timing
    findings.fast, findings.soft, findings.hard = list(timing.fast), list(timing.soft), list(timing.hard)
    findings.answers, findings.retried = timing.answers, timing.retried
    findings.faults = [(one.party, one.reason.name, Answer(one.fault.answer).name, one.round) for one in judge.faults()]
    findings.flags = [(flag.party, round) for round, flag in channel.flags]
    findings.suspended = [name for name, member in members.items() if court.standing(member) is not Status.ACCREDITED]
    if outcomes:
        _test(findings, trial, tables, outcomes)
    if trial.adversary is not None:
        findings.culprit = trial.culprit or ""
        findings.amplitude = dict(trial.adversary.amplitude)
        # whoever was found by its sums has changed one
        secrets = channel.remembered[spec.names[0]].get("gradient_keys", b"")
        findings.acted = trial.adversary.had_effect(partial(_is_zero, court, secrets) if outcomes else _is_not_zero)
        findings.without_effect = int(trial.adversary.acted and not findings.acted)
    return findings


def _is_zero(court: Court, secrets: bytes, ciphertexts: Ciphertexts) -> bool:
    """Whether all of them are encryptions of zero. Of jobs with one output: columns are the key's first."""
    try:
        found = KeyPair.from_secret_bytes(secrets).decrypt_sums(
            ciphertexts, 1, court.dlog, court.executor, columns=range(ciphertexts.columns)
        )
    except DecryptionRangeError:
        return False
    return not found.any()


def _is_not_zero(ciphertexts: Ciphertexts) -> bool:
    return False


def _named(error: FedchainError) -> list[str]:
    if isinstance(error, UplinkRejectedError):
        return [error.sender]
    if isinstance(error, DeadlineError):
        return list(error.who)
    assert isinstance(error, PeerError)
    return error.culprit.split(" or ")


def _test(
    findings: Findings, trial: Trial, tables: Mapping[PartyId, Table], outcomes: Mapping[PartyId, JobOutcome]
) -> None:
    """The free-rider test on the held-out rows, with the bits that the parties answer with."""
    names = trial.spec.names
    active = outcomes[names[0]]
    holdout = np.asarray(active.session.holdout, dtype=np.int64)
    bits = []
    for index, name in enumerate(names):
        answerer = answerer_of(outcomes[name].shard, outcomes[name].session, tables[name])
        bits.append(whole_bits(active.shard, index, answerer.bits(holdout)))
    table = tables[names[0]]
    assert table.label is not None
    labels = table.label[table.rows_of(active.session.ids)][holdout]
    weaknesses = free_rider_test(active.shard, bits, labels, permutations=trial.permutations, seed=trial.seed)
    for name, one in list(zip(names, weaknesses, strict=True))[1:]:
        findings.p_values[name] = one.p_value
        findings.powers[name] = one.power


def parse(line: str) -> Findings:
    """What `to_json` made."""
    found: dict[str, Any] = json.loads(line)
    found["faults"] = [tuple(one) for one in found["faults"]]
    found["flags"] = [tuple(one) for one in found["flags"]]
    return Findings(**found)
