"""Nodes vote on flagged statistics over real contracts, on a chain whose clock runs ahead; they may start anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from fedchain.chain import ChainClient, Consortium, JobPolicy, Sender, dev_accounts, start_dev_chain
from fedchain.chain import deploy as deploy_contracts
from fedchain.contribution.leaf_mask import Shares
from fedchain.crypto.merkle import payload_digest
from fedchain.messages import Contribution, Envelope, encode
from fedchain.node import voting
from fedchain.node.anomalies import read_anomalies
from fedchain.node.chainclock import ChainClock
from fedchain.node.voting import Voter
from fedchain.types import JobId, Kind, Reason, VotePhase
from tests.certificates import STAND_IN_KEY, stand_in_certificate
from tests.chains import any_kind

HOUR = 3600
NAMES = ("operator", "partner", "bank")
USUAL = (-250_000, -200_000, -220_000, -210_000, -230_000, -205_000, -215_000, -190_000)
UNUSUAL = tuple(-(10**9) + value for value in USUAL)


@dataclass
class Court:
    """Three parties with development accounts 1 to 3; account 0 deployed and is the steward."""

    parties: list[Consortium]
    addresses: list[str]

    def wait(self, seconds: int) -> None:
        """And have a block, as on a chain where something happens."""
        self.parties[0].client._transport.request("evm_increaseTime", seconds)
        self.parties[2].set_service("127.0.0.1:1", stand_in_certificate(NAMES[2]))

    def voters(self) -> list[Voter]:
        """As nodes have them that were just started; the active party's, too."""
        return [Voter(party, address=address) for party, address in zip(self.parties, self.addresses, strict=True)]

    def evaluating_job(self) -> JobId:
        active = self.parties[0]
        job = active.propose(b"{}", self.addresses, JobPolicy(1 << 20, 7, 10**9, phase_seconds=86_400))
        for party in self.parties:
            party.accept(job)
        for party in self.parties:
            party.declare_aligned(job, b"\x01" * 32, 100)
        active.begin_round(job, 1)
        for party in self.parties:
            party.declare_stop(job, 1)
        return job

    def send(self, job: JobId, step: int, utilities: Sequence[int], statistic_e6: int | None = None) -> None:
        payload = encode(Contribution(rows=100, utilities_e6=tuple(utilities), shares_e6=(1, 2, 3)))
        true = Shares(tuple(utilities), (1, 2, 3)).statistic_e6
        envelope = Envelope(
            bytes.fromhex(job[2:]), 2, 0, step, Kind.CONTRIBUTION, bytes(20), payload_digest(payload), len(payload),
            true if statistic_e6 is None else statistic_e6,
        )  # fmt: skip
        self.parties[0].submit(envelope, payload)


@pytest.fixture(scope="module")
def court(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Court]:
    folder = tmp_path_factory.mktemp("court")
    with start_dev_chain(any_kind(), log_path=folder / "chain.log") as chain:
        accounts = dev_accounts(4)
        client = ChainClient(chain.rpc_url)
        deployment, _ = deploy_contracts(client, accounts[0], [accounts[0].address], folder / "deployment.json")
        steward = Consortium(client, deployment, Sender(client, accounts[0]))
        parties = []
        for name, account in zip(NAMES, accounts[1:], strict=True):
            own = ChainClient(chain.rpc_url)
            parties.append(Consortium(own, deployment, Sender(own, account)))
            parties[-1].register(name, "127.0.0.1:1", stand_in_certificate(name), STAND_IN_KEY)
            steward.accredit(account.address)
        yield Court(parties, [account.address for account in accounts[1:]])


def test_receivers_recompute_vote_reveal_and_count_also_after_a_restart(court: Court) -> None:
    job = court.evaluating_job()
    for step in range(8):
        court.send(job, step, USUAL)
    court.send(job, 8, USUAL, statistic_e6=40_000_000)  # a lie
    court.send(job, 9, UNUSUAL)  # unusual, and true
    faults = court.parties[0].faults
    lie, truth = faults.count() - 1, faults.count()
    assert [faults.fault(one).reason for one in (lie, truth)] == [Reason.STATISTIC_OUTLIER] * 2

    for _ in range(2):  # a second start commits to nothing twice
        for voter in court.voters():
            voter.look()
    assert [faults.ballot(one).committed for one in (lie, truth)] == [2, 2]
    court.wait(HOUR)
    for _ in range(2):
        for voter in court.voters():
            voter.look()
    found = [faults.ballot(one) for one in (lie, truth)]
    assert [(one.voting, one.confirming) for one in found] == [(2, 2), (2, 0)]
    court.wait(HOUR)
    last = court.voters()
    for voter in last:
        voter.look()
    assert faults.ballot(lie).phase is not VotePhase.TALLIED  # the next in turn gives others half a minute
    court.wait(60)
    for voter in last:
        voter.look()
        voter.look()
    assert [faults.ballot(one).phase for one in (lie, truth)] == [VotePhase.TALLIED] * 2
    assert faults.count() == truth + 1
    confirmed = faults.fault(truth + 1)
    assert (confirmed.reason, confirmed.evidence) == (Reason.STATISTIC_FALSE, faults.fault(lie).evidence)
    assert court.parties[0].participant(court.addresses[0]).strikes == 1

    told = read_anomalies(court.parties[1], job)
    shown = [(one.what, one.category, one.party, one.reason) for one in told]
    assert ("flag", "statistical", "operator", "STATISTIC_OUTLIER") in shown
    assert shown.count(("vote_committed", "vote", "bank", "sealed")) == 2
    assert shown.count(("vote_revealed", "vote", "partner", "false")) == 1
    assert shown.count(("vote_revealed", "vote", "partner", "sound")) == 1
    assert ("votes_counted", "vote", "operator", "confirmed") in shown
    assert ("votes_counted", "vote", "operator", "not confirmed") in shown
    assert ("fault", "statistical", "operator", "STATISTIC_FALSE") in shown
    assert all(one.time == court.parties[0].client.block_time(one.block)[1] for one in told)


def test_others_flags_are_not_in_a_job_s_story(court: Court) -> None:
    job = court.evaluating_job()
    assert read_anomalies(court.parties[1], job) == []


def test_who_came_too_late_reveals_nothing_and_old_flags_are_left(
    court: Court, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    job = court.evaluating_job()
    for step in range(8):
        court.send(job, step, USUAL)
    court.send(job, 8, USUAL, statistic_e6=30_000_000)
    faults, number = court.parties[0].faults, court.parties[0].faults.count()
    court.voters()[1].look()
    court.wait(2 * HOUR)
    for voter in court.voters():
        voter.look()  # the third party has committed to nothing, and it is too late to reveal
    ballot = faults.ballot(number)
    assert (ballot.committed, ballot.voting, ballot.phase) == (1, 0, VotePhase.TALLYING)
    court.wait(8 * 24 * HOUR)
    late = court.voters()[1]
    late.look()
    assert late._open == {}


def test_a_payload_that_is_not_the_one_committed_to_accuses_nobody(court: Court) -> None:
    from fedchain.chain import UplinkJudged
    from fedchain.node.voting import is_false

    job = court.evaluating_job()
    court.send(job, 0, USUAL)
    head = court.parties[0].client.head()
    (event,) = [one for one in court.parties[0].events(head, head) if isinstance(one, UplinkJudged)]
    assert is_false(event) is False
    assert is_false(replace(event, payload=event.payload + b"x")) is None
    assert is_false(replace(event, payload=b"")) is None
    assert is_false(replace(event, envelope=replace(event.envelope, kind=Kind.HISTOGRAM))) is None
    for change, expected in ((1, False), (-1, False), (2, True), (-2, True)):
        statistic_e6 = event.envelope.statistic_e6 + change
        assert is_false(replace(event, envelope=replace(event.envelope, statistic_e6=statistic_e6))) is expected
    junk = replace(event.envelope, digest=payload_digest(b"junk"), size=4)
    assert is_false(replace(event, envelope=junk, payload=b"junk")) is True


def test_a_false_statistic_that_nobody_flagged_is_challenged_once(
    court: Court, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = court.evaluating_job()
    voters = court.voters()
    for voter in voters:
        voter.look()
    court.send(job, 0, USUAL)
    court.send(job, 1, USUAL, statistic_e6=40_000_000)  # too few came before for an outlier
    before = court.parties[0].faults.count()
    told: list[tuple[str, bytes]] = []
    for party, name in zip(court.parties, NAMES, strict=True):
        note = party.faults.challenge

        def challenge(uplink_id: bytes, note: Any = note, name: str = name) -> Any:
            told.append((name, uplink_id))
            return note(uplink_id)

        monkeypatch.setattr(party.faults, "challenge", challenge)
    for _ in range(2):
        for voter in voters:
            voter.look()
    assert [name for name, _ in told] == ["partner"]  # not its sender, and one is enough
    faults = court.parties[0].faults
    assert faults.count() == before + 1
    challenged = faults.fault(before + 1)
    assert (challenged.party, challenged.evidence) == (court.addresses[0], told[0][1])
    assert faults.ballot(before + 1).committed == 2
    fresh = court.voters()  # started again: nothing is challenged twice
    for voter in fresh:
        voter.look()
    court.wait(HOUR)
    for voter in fresh:
        voter.look()
    court.wait(HOUR + 120)
    for voter in fresh:
        voter.look()
    assert [name for name, _ in told] == ["partner"]
    assert faults.fault(before + 2).reason is Reason.STATISTIC_FALSE
    shown = [(one.what, one.category, one.party, one.reason) for one in read_anomalies(court.parties[1], job)]
    assert ("fault", "claim", "operator", "STATISTIC_CHALLENGED") in shown
    assert ("challenged", "vote", "partner", "false") in shown


def test_a_node_whose_clock_is_ahead_sends_nothing_that_is_refused(court: Court) -> None:
    job = court.evaluating_job()
    for step in range(8):
        court.send(job, step, USUAL)
    court.send(job, 8, USUAL, statistic_e6=30_000_000)
    faults, number = court.parties[0].faults, court.parties[0].faults.count()
    party, address = court.parties[1], court.addresses[1]
    wrong = party.client.block_time()[1] + 5000  # it thinks that votes are being revealed

    def sent() -> int:
        return party.client.mined_nonce(address)

    voter = Voter(party, address=address, clock=ChainClock(party.client, wall=lambda: wrong))
    before = sent()
    for _ in range(3):
        voter.look()
    assert sent() == before  # a block tells what time it is
    court.wait(1)
    for _ in range(3):
        voter.look()
    assert (sent(), faults.ballot(number).committed) == (before + 1, 1)
    court.wait(HOUR)
    voter.look()
    assert (sent(), faults.ballot(number).voting) == (before + 2, 1)


def test_who_floods_a_job_with_unusual_truths_hides_no_lie(court: Court, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voting, "MOST_OPEN", 2)
    job = court.evaluating_job()
    for step in range(8):
        court.send(job, step, USUAL)
    faults = court.parties[0].faults
    first = faults.count() + 1
    for step in range(8, 14):
        court.send(job, step, UNUSUAL if step % 2 else USUAL)
    court.send(job, 14, USUAL, statistic_e6=48_000_000)
    flags = [number for number in range(first, faults.count() + 1) if faults.ballot(number).opened]
    assert len(flags) > 3
    court.voters()[1].look()
    assert [faults.ballot(one).committed for one in flags] == [1, 1, *[0] * (len(flags) - 3), 1]
