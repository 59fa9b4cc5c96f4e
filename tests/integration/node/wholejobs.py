"""Whole jobs over the contracts: every party's real generator in a thread, with an exchange and a journal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedchain.chain import StrikeRecorded, UplinkJudged
from fedchain.chain.events import ChainEvent, RoundBegan
from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.data.table import Table
from fedchain.errors import FedchainError, StoppingError
from fedchain.exchange import JobChannel
from fedchain.federation.party import JobOutcome, job_party
from fedchain.federation.spec import JobSpec
from fedchain.messages import Gradients
from fedchain.model.shard import model_digest
from fedchain.node.driver import run_job
from fedchain.node.jobpolicy import policy_of
from fedchain.node.journal import Journal
from fedchain.node.membership import join
from fedchain.protocol import Party, Send
from fedchain.simulation.federation import simulate
from fedchain.types import JobId, PartyId, Phase, Reason
from tests.certificates import STAND_IN_KEY
from tests.integration.node.conftest import Rig
from tests.protocol.cases import Case, make_case, objective_case, spec_of

POINT_BYTES = 33
NO_JOB = JobId("")
Wrap = Callable[[Party[JobOutcome]], Party[JobOutcome]]
Prepare = Callable[["Member", JobChannel], None]


def untouched(member: Member, channel: JobChannel) -> None:
    """An honest party."""


@dataclass
class Member:
    """One party of a whole job.

    Attributes:
        prepare: is called with each channel before its job begins.
        wrap: is called with each generator.
        ciphertexts: all curve points of gradients that it encrypted to be sent, run after run.
    """

    rig: Rig
    table: Table
    prepare: Prepare = untouched
    wrap: Wrap = lambda party: party
    ciphertexts: list[bytes] = field(default_factory=list)
    channels: list[JobChannel] = field(default_factory=list)
    proposal: Any = None

    def restart(self) -> None:
        """Close the exchange as a killed process would, and open another one on the same folder."""
        self.rig.exchange.close()
        exchange = self.rig.open()
        exchange.resume()
        join(
            exchange.consortium,
            address=self.address,
            name=self.name,
            endpoint=exchange.endpoint,
            certificate=self.rig.identity.certificate,
            encryption_key=STAND_IN_KEY,
        )

    @property
    def name(self) -> PartyId:
        """In the registry."""
        return self.rig.name

    @property
    def address(self) -> str:
        """On the chain."""
        return self.rig.account.address


@dataclass
class WholeJob:
    """A job of real parties; the first member is the active one."""

    members: list[Member]
    spec: JobSpec
    executor: Executor
    dlog: DlogTable
    folder: Path
    job_id: JobId = NO_JOB
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))

    @property
    def active(self) -> Member:
        """The label holder."""
        return self.members[0]

    def propose(self) -> JobId:
        """The active party proposes."""
        roster = [one.address for one in self.members]
        self.job_id = self.active.rig.consortium.propose(self.spec.to_bytes(), roster, policy_of(self.spec))
        return self.job_id

    def run(self, member: Member, *, resumed: bool = False) -> JobOutcome:
        """A party's job, from its acceptance to its end; again after a restart if `resumed`."""
        try:
            outcome = self._run(member, resumed)
        except StoppingError:
            raise
        except FedchainError:
            member.rig.exchange.forget(self.job_id)
            raise
        member.rig.exchange.forget(self.job_id)
        return outcome

    def _run(self, member: Member, resumed: bool) -> JobOutcome:
        rig = member.rig
        if resumed:
            inbox = rig.exchange.subscriber.resume(self.job_id, member.proposal.block_number)
            rig.exchange.start()
        else:
            member.proposal, inbox = rig.jobs.get(timeout=20.0)
        channel = rig.exchange.channel(
            inbox,
            {one.name: one.address for one in self.members},
            deadline_seconds=self.spec.policy.deadline_seconds,
            pipelined=self.spec.policy.pipelined,
            resumed=resumed,
        )
        member.channels.append(channel)
        member.prepare(member, channel)
        channel.accept()

        def party() -> Party[JobOutcome]:
            one = job_party(self.spec, member.name, member.table, executor=self.executor, dlog=self.dlog)
            return recorded(member.wrap(one), member)

        journal = Journal(self.folder / member.name / "jobs" / self.job_id / "journal")
        outcome = run_job(party, channel, None, lambda _: None, journal)
        channel.wait_phase(Phase.COMPLETED)
        return outcome

    def start(self) -> list[Future[JobOutcome]]:
        """Propose, and let every party run in a thread."""
        self.propose()
        return [self.pool.submit(self.run, member) for member in self.members]

    def complete(self, seconds: float = 60.0) -> str:
        """Run the job to its end; the model's digest."""
        for future in self.start():
            future.result(seconds)
        return self.digest()

    def digest(self) -> str:
        """The completed model's digest, as the chain has it."""
        consortium = self.active.rig.consortium
        assert consortium.job(self.job_id).phase == Phase.COMPLETED
        digests = [consortium.shard_digest(self.job_id, one.address) for one in self.members]
        return model_digest([one for one in digests if one is not None])

    def simulated(self) -> str:
        """The digest that a simulation gives."""
        tables = {one.name: one.table for one in self.members}
        digest = simulate(self.spec, tables, executor=self.executor, dlog=self.dlog).active.model_digest
        assert digest is not None
        return digest

    # -- what the chain recorded ------------------------------------------------------------------------------------

    def events(self) -> list[ChainEvent]:
        """All of this job."""
        rig = self.active.rig
        found = rig.consortium.events(self.active.proposal.block_number, rig.exchange.client.head())
        return [event for event in found if getattr(event, "job_id", None) == self.job_id]

    def rounds(self) -> list[tuple[int, int]]:
        """Rounds and attempts in the order in which they began."""
        return [(event.round, event.attempt) for event in self.events() if isinstance(event, RoundBegan)]

    def verdicts(self, sender: Member) -> list[Reason]:
        """On a party's uplinks."""
        judged = [event for event in self.events() if isinstance(event, UplinkJudged)]
        return [event.reason for event in judged if event.sender == sender.address]

    def strikes(self) -> dict[PartyId, list[Reason]]:
        """Who got strikes, and for what."""
        found: dict[PartyId, list[Reason]] = {}
        for event in self.events():
            if isinstance(event, StrikeRecorded):
                name = next(one.name for one in self.members if one.address == event.party)
                found.setdefault(name, []).append(Reason(event.reason))
        return found


def recorded(party: Party[JobOutcome], member: Member) -> Party[JobOutcome]:
    """The party's generator; the points of the gradients that it encrypts are noted."""
    answer: Any = None
    try:
        while True:
            try:
                action = party.send(answer)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if isinstance(action, Send) and isinstance(action.message, Gradients):
                raw = action.message.ciphertexts
                member.ciphertexts += [raw[at : at + POINT_BYTES] for at in range(0, len(raw), POINT_BYTES)]
            answer = yield action
    finally:
        party.close()


def job_spec(case: Case, names: Sequence[PartyId], *, consumption: str, deadline: float, **algorithm: Any) -> JobSpec:
    """The case's job under the names of these parties."""
    old = {key: value for key, value in case.spec.algorithm.model_dump(mode="json").items() if value is not None}
    stopping = algorithm.pop("stopping", None)
    document = spec_of(names, stopping=stopping, **{**old, "trees": 2, "depth": 2, **algorithm}).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    document["policy"] = {"consumption": consumption, "deadline_seconds": deadline}
    return JobSpec._validate(document, "test")


MakeJob = Callable[..., WholeJob]


def job_maker(
    make_rig: Callable[..., Rig], executor: Executor, dlog: DlogTable, folder: Path, made: list[WholeJob]
) -> MakeJob:
    """Makes whole jobs of the same three parties, and appends them to `made`."""

    def make(
        *, consumption: str = "pipelined", deadline: float = 30.0, multiclass: bool = False, **algorithm: Any
    ) -> WholeJob:
        case = objective_case("multiclass") if multiclass else make_case("three parties")
        if multiclass:
            algorithm = {"objective": "multiclass", "classes": 3, **algorithm}
        if made:
            rigs = [member.rig for member in made[0].members]
        else:
            rigs = [make_rig(name) for name in case.tables]
            for rig in rigs:
                rig.exchange.start()
        spec = job_spec(case, [rig.name for rig in rigs], consumption=consumption, deadline=deadline, **algorithm)
        members = [Member(rig, table) for rig, table in zip(rigs, case.tables.values(), strict=True)]
        made.append(WholeJob(members, spec, executor, dlog, folder))
        return made[-1]

    return make
