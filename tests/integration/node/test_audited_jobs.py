"""Audits of contributions over the contracts: real parties on a real chain, strict and pipelined, honest and not."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from fedchain.chain import AuditVoted, SettlementView
from fedchain.contribution.losses import utilities_e6
from fedchain.errors import ChainUnreachableError, JobAbortedError, StoppingError, TrainingError
from fedchain.exchange import JobChannel
from fedchain.exchange.waits import Waits
from fedchain.federation.contribspec import ContributionSpec
from fedchain.federation.opening import opened_rows
from fedchain.federation.party import JobOutcome
from fedchain.messages import AuditOpening
from fedchain.node.contribution_checks import (
    LOSSES,
    POINTS,
    SEED,
    SHARDS,
    SHARES,
    TERMS,
    VOTES,
    verify_contributions,
)
from fedchain.node.contribution_kept import OPENING, UNSEEN_COVERS
from fedchain.node.contributions import read_contributions
from fedchain.node.jobfiles import AUDIT, SHARD, JobFiles
from fedchain.node.owed import read_owed
from fedchain.node.settling import Settler, settle
from fedchain.protocol import Action, Party, RecordContribution, Send, Stage, Vote
from fedchain.protocol.audits import AuditState
from fedchain.types import AuditReason, Reason, Withheld
from tests.integration.node.test_pipelined_jobs import few
from tests.integration.node.wholejobs import MakeJob, Member, Prepare, WholeJob
from tests.protocol.adversary import rewriting

pytestmark = pytest.mark.timeout(180)

SPEC = ContributionSpec(audit=True, opened_rows=15, window_seconds=30, dispute_seconds=0, budget=1000)


def audited(make_job: MakeJob, *, consumption: str = "pipelined", terms: ContributionSpec = SPEC) -> WholeJob:
    job = make_job(mode="layered", depth=3, trees=2, consumption=consumption)
    job.spec = job.spec.model_copy(update={"contribution": terms})
    return job


def state_of(job: WholeJob) -> AuditState:
    state = job.active.rig.consortium.audits.state(job.job_id)
    assert state is not None
    return state


def settle_after_an_outage(job: WholeJob, folder: Path) -> None:
    """The first try finds no chain, and the node is stopped; the next one is started on a chain that is there."""

    def away(job_id: str) -> None:
        raise ChainUnreachableError("nothing answers")

    gone: Any = SimpleNamespace(settlements=SimpleNamespace(settlement=away))
    before = Settler(gone, folder=folder, me=job.active.name, waits=Waits())
    assert before.owe(job.job_id, job.spec)
    before.settle(job.job_id)
    before.close()
    assert [(owed.tries, owed.reason) for _, owed in read_owed(folder)] == [(1, "nothing answers")]
    after = Settler(job.active.rig.consortium, folder=folder, me=job.active.name, waits=Waits())
    after.start()
    end = time.monotonic() + 30
    while list(read_owed(folder)):
        assert time.monotonic() < end
        time.sleep(0.05)
    after.close()


def settled(job: WholeJob) -> SettlementView:
    consortium = job.active.rig.consortium
    for _ in range(2):  # the second time it is done
        settle(consortium, job.job_id)
    found = consortium.settlements.settlement(job.job_id)
    assert found is not None
    return found


@pytest.mark.parametrize("consumption", ["pipelined", "strict"])
def test_an_honest_job_is_verified_and_settled(make_job: MakeJob, consumption: str, tmp_path: Path) -> None:
    job = audited(make_job, consumption=consumption)
    futures = job.start()
    outcomes = [future.result(60) for future in futures]
    assert job.digest() == job.simulated()
    state = state_of(job)
    assert (state.outcome, state.votes, state.silent) == ("verified", (0, 1, 1), (0, 0, 0))
    assert outcomes[0].shares is not None
    assert utilities_e6(state.loss_sums, state.terms.rows) == outcomes[0].shares.utilities_e6
    assert len(opened_rows(state)) == 15
    assert len({outcome.audit.opening for outcome in outcomes if outcome.audit is not None}) == 1
    settle_after_an_outage(job, tmp_path)
    settlement = settled(job)
    assert sum(settlement.points) == 1000
    for points, share, why in zip(settlement.points, state.shares840, settlement.withheld, strict=True):
        assert (points > 0) == (share > 0)
        assert why in (Withheld.NONE, Withheld.WEAK)
    assert job.strikes() == {}
    for member, outcome in zip(job.members, outcomes, strict=True):
        assert_all_of_it_is_found_again(job, member, outcome)


def assert_all_of_it_is_found_again(job: WholeJob, member: Member, outcome: JobOutcome) -> None:
    """From the chain alone, and from what each node keeps; and not where that was tampered with."""
    consortium = job.active.rig.consortium
    found = read_contributions(consortium, consortium.job(job.job_id))
    assert found.message == outcome.contribution
    document = found.as_dict()
    assert document["audit"]["outcome"] == "verified"
    assert set(document["audit"]["votes"].values()) == {"sound"}
    assert sum(line["points"] for line in document["settlement"]["lines"]) == 1000
    assert list(document["measured"]["split_gain_e6"]) == [one.name for one in job.members]

    alone = verify_contributions(consortium, found)
    assert alone.holds
    assert all(alone.checks.tallies[name].checked for name in (SHARES, TERMS, LOSSES, SEED, SHARDS, VOTES, POINTS))
    assert OPENING not in alone.checks.tallies
    folder = member.rig.folder / "kept"
    files = JobFiles(folder, job.job_id)
    files.save(job.spec, outcome, {})
    kept = files.load_audit()
    assert kept is not None
    verified = verify_contributions(consortium, found, folder)
    assert verified.holds, verified.checks.mismatches
    assert verified.checks.tallies[OPENING].checked >= 2
    assert any("whether the labels are true" in one for one in verified.beyond)
    is_active = member is job.active
    assert (UNSEEN_COVERS in verified.beyond) is not is_active, "the active party's own state has all counts"
    if is_active:
        other = [(*tree.covers[:-1], tree.covers[-1] + 1) for tree in outcome.shard.trees]
        trees = [
            msgspec.structs.replace(tree, covers=one) for tree, one in zip(outcome.shard.trees, other, strict=True)
        ]
        msgspec.structs.replace(outcome.shard, trees=tuple(trees)).save(files.folder / SHARD)
        (kept_otherwise, covers) = verify_contributions(consortium, found, folder).checks.mismatches
        assert "the opened model is not that of this node's shard" in kept_otherwise.detail
        assert "opened tree 1 with" in covers.detail
        outcome.shard.save(files.folder / SHARD)

    tampered = msgspec.structs.replace(kept, opening=kept.opening[:-1] + bytes([kept.opening[-1] ^ 1]))
    (files.folder / AUDIT).write_bytes(tampered.to_bytes())
    assert {one.check for one in verify_contributions(consortium, found, folder).checks.mismatches} == {OPENING}
    assert found.audit is not None
    audit = replace(found.audit, votes=(0, 2, 2), seed=bytes(32), weak=7)
    lies = {one.check for one in verify_contributions(consortium, replace(found, audit=audit)).checks.mismatches}
    assert lies == {VOTES, SEED, LOSSES, POINTS}
    terms = replace(found.audit.terms, window_seconds=31)
    (said,) = verify_contributions(
        consortium, replace(found, audit=replace(found.audit, terms=terms))
    ).checks.mismatches
    assert "windows of 30 s" in said.detail.partition("found")[0]
    assert "windows of 31 s" in said.detail.partition("found")[2]
    without = verify_contributions(consortium, replace(found, audit=None))
    assert {one.check for one in without.checks.mismatches} == {TERMS}


def test_shares_by_block_permutation_are_recorded_as_others_are_and_say_so(make_job: MakeJob) -> None:
    job = audited(make_job, terms=ContributionSpec(method="block-permutation", repeats=3))
    outcomes = [future.result(60) for future in job.start()]
    consortium = job.active.rig.consortium
    found = read_contributions(consortium, consortium.job(job.job_id))
    assert found.method == "block-permutation"
    assert found.message == outcomes[0].contribution
    assert found.audit is None
    assert outcomes[0].shares is not None
    assert tuple(found.recorded_e6.values()) == outcomes[0].shares.shares_e6
    verified = verify_contributions(consortium, found)
    assert verified.holds
    assert verified.checks.tallies[SHARES].checked == 5
    assert any("by method 'block-permutation' it can have none" in one for one in verified.beyond)


def test_shares_that_two_auditors_find_false_are_a_strike_and_pay_nobody(make_job: MakeJob) -> None:
    """All that is published and posted is true; what is recorded in the ledger is not."""

    def lie(action: Action) -> Action:
        if isinstance(action, RecordContribution):
            return replace(action, shares_e6=(sum(action.shares_e6), 0, 0))
        return action

    job = audited(make_job)
    job.active.wrap = lambda party: rewriting(party, lie)
    outcomes = [future.result(60) for future in job.start()]
    assert state_of(job).outcome == "false"
    votes = [event for event in job.events() if isinstance(event, AuditVoted)]
    assert [(event.sound, event.audit_reason) for event in votes] == [(False, AuditReason.SUMS)] * 2
    assert job.strikes() == {job.active.name: [Reason(50)]}
    assert all(Withheld.OUTCOME in why for why in settled(job).withheld)
    consortium = job.active.rig.consortium
    found = read_contributions(consortium, consortium.job(job.job_id))
    assert found.differs
    assert found.message is not None
    assert tuple(found.shares_e6.values()) == found.message.shares_e6, "what counts follows from the posted losses"
    mismatches = verify_contributions(consortium, found).checks.mismatches
    assert {one.check for one in mismatches} == {SHARES, LOSSES}
    assert {one.party for one in mismatches if one.check == LOSSES} == {job.active.address}
    folder = job.members[1].rig.folder / "kept"
    JobFiles(folder, job.job_id).save(job.spec, outcomes[1], {})
    (own,) = [one for one in verify_contributions(consortium, found, folder).checks.mismatches if one.check == OPENING]
    assert own.detail.startswith("this node found the contributions false when it voted: ")
    assert own.party == job.active.address


def test_who_ends_the_job_instead_of_opening_the_drawn_rows_is_judged_all_the_same(make_job: MakeJob) -> None:
    def lie(action: Action) -> Action:
        if isinstance(action, Send) and isinstance(action.message, AuditOpening):
            raise TrainingError("it has seen which rows are drawn")
        return action

    job = audited(make_job)
    job.active.wrap = lambda party: rewriting(party, lie)
    futures = job.start()
    assert isinstance(futures[0].exception(60), TrainingError)
    assert all(isinstance(future.exception(60), JobAbortedError) for future in futures[1:])
    state = state_of(job)
    assert (state.outcome, state.reasons[1:]) == ("false", (AuditReason.ABSENT, AuditReason.ABSENT))
    assert job.strikes() == {job.active.name: [Reason(50)]}


def dying_in_the_audit(name: str, *, after: bool) -> Prepare:
    """A party that dies once, before or after a step of the audit."""
    dead: list[bool] = []

    def prepare(member: Member, channel: JobChannel) -> None:
        original = getattr(channel.audit, name)

        def step(*arguments: Any) -> Any:
            result = original(*arguments) if after or dead else None
            if not dead:
                dead.append(True)
                raise StoppingError("killed by the test")
            return result

        setattr(channel.audit, name, step)

    return prepare


KILLS = {
    "the active party after it has posted": (0, "post", True),
    "a passive party after it has frozen": (1, "freeze", True),
    "the active party after it has committed to labels": (0, "commit_labels", True),
    "the active party before it reveals": (0, "reveal", False),
    "a passive party after it has revealed": (1, "reveal", True),
    "a passive party before it votes": (1, "vote", False),
    "a passive party after it has voted": (1, "vote", True),
    "the active party after it has concluded": (0, "conclude", True),
}


@pytest.mark.parametrize("point", few(KILLS, 1))
def test_a_party_that_restarts_in_an_audit_goes_on(make_job: MakeJob, point: str) -> None:
    index, name, after = KILLS[point]
    job = audited(make_job)
    mortal = job.members[index]
    mortal.prepare = dying_in_the_audit(name, after=after)
    futures = job.start()
    assert isinstance(futures[index].exception(60), StoppingError)
    mortal.restart()
    futures[index] = job.pool.submit(job.run, mortal, resumed=True)
    for future in futures:
        future.result(60)
    assert job.digest() == job.simulated()
    assert (state_of(job).outcome, job.strikes()) == ("verified", {})


@pytest.mark.soak
def test_who_does_not_vote_is_waited_for_no_longer_than_the_window(make_job: MakeJob) -> None:
    job = audited(make_job)
    silent = job.members[2]

    def wrap(party: Party[JobOutcome]) -> Party[JobOutcome]:
        return rewriting(party, lambda action: Stage("lie") if isinstance(action, Vote) else action)

    silent.wrap = wrap
    for future in job.start():
        future.result(120)
    state = state_of(job)
    assert (state.outcome, state.votes, state.silent) == ("verified", (0, 1, 0), (0, 0, 8))
    assert settled(job).withheld[2] & Withheld.SILENT
