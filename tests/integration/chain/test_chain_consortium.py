"""The same life of a consortium on the embedded chain, anvil and Ganache."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import (
    Account,
    BatchLeaf,
    ChainClient,
    Consortium,
    JobAccepted,
    JobPolicy,
    JobProposed,
    ParticipantAccredited,
    ParticipantRegistered,
    ParticipantSuspended,
    PhaseChanged,
    RequestStatus,
    RoundBegan,
    Sender,
    ServiceChanged,
    StrikeRecorded,
    UplinkJudged,
    deploy,
)
from fedchain.chain.artifacts import CONTRACT_NAMES, LEDGER
from fedchain.chain.contracts import MAX_LEAVES
from fedchain.chain.reads import envelope_values
from fedchain.errors import ChainError, ChainUnreachableError, ConfigError, TransactionError, WrongChainError
from fedchain.messages import Envelope
from fedchain.types import INLINE_LIMIT, Kind, Phase, Reason, Status
from tests.certificates import STAND_IN_KEY, stand_in_certificate

SHARD = hashlib.sha256(b"shard").digest()


def test_deploying_again_changes_nothing_and_sends_nothing(world: Any) -> None:
    account = world.accounts[0]
    nonce, content = world.client.nonce(account.address), world.file.read_bytes()
    lines: list[str] = []
    again, created = deploy(world.client, account, [account.address], world.file, progress=lines.append)
    assert (again, created) == (world.deployment, False)
    assert world.client.nonce(account.address) == nonce
    assert world.file.read_bytes() == content
    assert lines == []


def test_the_deployment_records_the_code_and_the_wiring(world: Any) -> None:
    for contract in world.deployment.contracts.values():
        assert "0x" + world.client.code_hash(contract.address).hex() == contract.code_hash
    assert world.deployment.genesis_hash == "0x" + world.client.block_hash(0).hex()
    assert list(world.deployment.transactions)[len(CONTRACT_NAMES) :] == [
        "ParticipantRegistry.setGate", "AnomalyRecord.setReporters", "JobManager.setLedger", "UplinkLedger.setRouter",
        "Directory.setFirst",
    ]  # fmt: skip


def test_the_registry_reads_back_what_was_written(world: Any) -> None:
    party = world.parties[0]
    address = party.sender.address
    found = party.participant(address)
    assert (found.address, found.name, found.status, found.strikes) == (address, "party-0", Status.ACCREDITED, 0)
    assert party.address_of("party-0") == address
    assert party.address_of("nobody") is None
    assert [one.name for one in party.participants()][:2] == ["party-0", "party-1"]
    assert party.participant(world.accounts[5].address).status is Status.UNKNOWN
    assert party.participant(world.accounts[5].address).fingerprint == bytes(32)
    assert party.certificate(world.accounts[5].address) == b""


def test_a_change_of_service_is_announced_with_the_certificate_s_fingerprint(world: Any) -> None:
    party, reader = world.parties
    address = party.sender.address
    certificate = party.certificate(address)
    assert party.participant(address).fingerprint == hashlib.sha256(certificate).digest()
    for endpoint, other in (("b.example:9100", os.urandom(2048)), ("b.example:9100", certificate)):
        (event,) = party.set_service(endpoint, other).events
        assert isinstance(event, ServiceChanged)
        assert (event.party, event.endpoint, event.fingerprint) == (address, endpoint, hashlib.sha256(other).digest())
        found = reader.participant(address)
        assert (found.endpoint, found.fingerprint) == (endpoint, event.fingerprint)
        assert reader.certificate(address) == other
    with pytest.raises(TransactionError) as caught:
        party.set_service("b.example:9100", reader.certificate(reader.sender.address))
    assert caught.value.reason == f"CertificateTaken(holder={reader.sender.address})"
    with pytest.raises(TransactionError, match=r"CertificateInvalid\(length=2049, max=2048\)"):
        party.set_service("b.example:9100", bytes(2049))


def test_a_job_lives_from_proposal_to_prediction(world: Any) -> None:
    active, passive = world.parties
    roster = world.addresses()
    policy = JobPolicy(1 << 20, 100, 10**6)
    first_block = world.client.head() + 1

    job = active.propose(b'{"whole":"life"}', roster, policy)
    assert not active.has_accepted(job, roster[0])
    for party in world.parties:
        party.accept(job)
    assert active.has_accepted(job, roster[0])
    for party in world.parties:
        party.declare_aligned(job, b"\x07" * 32, 1234)
    assert active.has_aligned(job, roster[1])
    active.begin_round(job, 1)
    active.retry_round(job, 1)
    view = passive.job(job)
    assert (view.phase, view.round, view.attempt, view.proposer) == (Phase.TRAINING, 1, 1, roster[0])
    assert (view.aligned_digest, view.aligned_rows) == (b"\x07" * 32, 1234)
    assert (view.roster, view.policy) == (tuple(roster), policy)
    assert view.spec_digest == hashlib.sha256(b'{"whole":"life"}').digest()
    for party in world.parties:
        party.declare_stop(job, 1)
    assert active.has_stopped(job, roster[1])

    def uplink(party: Consortium, payload: bytes, kind: Kind, round_: int = 2, statistic: int = 0) -> UplinkJudged:
        digest = hashlib.sha256(b"\0" + payload).digest()
        sent = Envelope(
            bytes.fromhex(job[2:]), round_, 0, 0, kind, bytes(20), digest, len(payload), statistic_e6=statistic
        )
        judged = party.submit(sent, payload)[1]
        assert judged is not None
        assert judged.reason is Reason.ACCEPTED
        assert judged.envelope == sent
        return judged

    assert active.contribution(job) is None
    judged = uplink(active, b"shares", Kind.CONTRIBUTION, statistic=5)
    active.record_contribution(job, judged.uplink_id, [-100, 350], 750, 500)
    record = passive.contribution(job)
    assert record is not None
    assert (record.roster, record.shares_e6, record.full, record.empty) == (tuple(roster), (-100, 350), 750, 500)

    assert active.shard_digest(job, roster[0]) is None
    for party in world.parties:
        uplink(party, b"head" + SHARD, Kind.SHARD_DIGEST)
    assert active.shard_digest(job, roster[0]) == SHARD
    assert active.job(job).phase is Phase.COMPLETED

    request = passive.open_request(job)
    assert request == 2**31
    uplink(passive, b"ids", Kind.PREDICT_REQUEST, request)
    uplink(active, b"scores", Kind.PREDICT_ANSWER, request)
    opened = passive.request(job, request)
    assert (opened.requester, opened.status, opened.closed_block) == (roster[1], RequestStatus.OPEN, 0)
    passive.close_request(job, request, RequestStatus.DONE)
    assert passive.request(job, request).status is RequestStatus.DONE
    assert active.counts(job) == (5, 0)
    assert job in active.jobs()

    events = active.events(first_block, world.client.head())
    assert isinstance(events[0], JobProposed)
    assert events[0].spec == b'{"whole":"life"}'
    assert [event.phase for event in events if isinstance(event, PhaseChanged)] == [
        Phase.PROPOSED, Phase.ALIGNING, Phase.TRAINING, Phase.EVALUATING, Phase.COMPLETED,
    ]  # fmt: skip
    assert [(e.round, e.attempt) for e in events if isinstance(e, RoundBegan)][:2] == [(1, 0), (1, 1)]
    places = [(event.block_number, event.log_index) for event in events]
    assert places == sorted(set(places))
    assert all(world.client.block_hash(event.block_number) == event.block_hash for event in events[:3])


def test_events_of_single_blocks_add_up_to_those_of_the_range(world: Any) -> None:
    first = world.client.head() + 1
    world.aligning_job()
    last = world.client.head()
    party = world.parties[1]
    together = party.events(first, last)
    assert [type(event) for event in together if not isinstance(event, PhaseChanged)] == [
        JobProposed, JobAccepted, JobAccepted,
    ]  # fmt: skip
    assert [event for block in range(first, last + 1) for event in party.events(block, block)] == together
    assert party.events(last + 1, last) == []


@pytest.mark.parametrize("size", [1, 64 * 1024, 64 * 1024 + 1, INLINE_LIMIT])
def test_an_inline_payload_of_any_size_comes_back_from_the_chain(world: Any, random_payload: Any, size: int) -> None:
    job = world.aligning_job()
    active, passive = world.parties
    payload = random_payload(size)
    envelope = world.envelope(job, payload)
    receipt, judged = active.submit(envelope, payload)
    assert judged is not None
    assert (judged.reason, judged.payload, judged.envelope) == (Reason.ACCEPTED, payload, envelope)
    assert judged.uplink_id == passive.uplink_id(active.sender.address, envelope)
    assert passive.events(receipt.block_number, receipt.block_number) == [judged]
    verdict = passive.verdict(active.sender.address, envelope)
    assert (verdict.reason, verdict.known) == (Reason.ACCEPTED, True)
    assert verdict.block_number == receipt.block_number
    assert not passive.verdict(passive.sender.address, envelope).known
    (slot,) = passive._read(LEDGER, "slotOf", active.sender.address, envelope_values(envelope))
    assert passive.slot(active.sender.address, envelope) == slot


def test_a_payload_above_the_limit_travels_by_reference(world: Any) -> None:
    job = world.aligning_job()
    envelope = Envelope(bytes.fromhex(job[2:]), 0, 0, 0, Kind.BLINDED_IDS, bytes(20), b"\x05" * 32, INLINE_LIMIT + 1)
    judged = world.parties[0].submit(envelope, b"")[1]
    assert judged is not None
    assert (judged.reason, judged.payload) == (Reason.ACCEPTED, b"")


def test_a_batch_gives_each_leaf_its_own_verdict_as_if_it_were_sent_alone(world: Any) -> None:
    job = world.training_job(pipelined=True)
    assert world.parties[0].job(job).policy.pipelined
    passive, address = world.parties[1], world.addresses()[1]
    active = bytes.fromhex(world.addresses()[0][2:])
    leaves = [BatchLeaf(step, Kind.HISTOGRAM, active, bytes([step + 1]) * 32, 5) for step in range(3)]
    leaves.insert(1, BatchLeaf(9, Kind.HISTOGRAM, active, bytes(32), 5))
    receipt, judged = passive.submit_batch(job, 1, 0, leaves)
    assert [event.reason for event in judged] == [
        Reason.ACCEPTED, Reason.DIGEST_MISMATCH, Reason.ACCEPTED, Reason.ACCEPTED,
    ]  # fmt: skip
    for leaf, event in zip(leaves, judged, strict=True):
        assert (event.envelope, event.payload) == (leaf.envelope(job, 1, 0), b"")
        assert event.uplink_id == passive.uplink_id(address, leaf.envelope(job, 1, 0))
        assert passive.verdict(address, event.envelope).reason == event.reason
    assert [event.strikes for event in receipt.events if isinstance(event, StrikeRecorded)] == [1]
    assert passive.submit_batch(job, 1, 0, [leaves[0], *leaves[2:]])[1] == []
    assert passive.submit(leaves[0].envelope(job, 1, 0), b"")[1] is None
    assert passive.counts(job) == (3, 1)
    world.steward.suspend(address, "forgiven")
    world.steward.reinstate(address)


def test_a_full_batch_is_accepted_in_one_transaction(world: Any) -> None:
    job = world.training_job(pipelined=True)
    recipients = [bytes(20), bytes.fromhex(world.addresses()[0][2:])]
    leaves = [
        BatchLeaf(step, Kind.HISTOGRAM, recipients[step % 2], os.urandom(32), 1 + step) for step in range(MAX_LEAVES)
    ]
    receipt, judged = world.parties[1].submit_batch(job, 1, 0, leaves)
    assert [event.reason for event in judged] == [Reason.ACCEPTED] * MAX_LEAVES
    assert receipt.gas_used < 2**24  # the largest transaction of EIP-7825
    with pytest.raises(TransactionError, match=r"BatchSizeInvalid\(size=257, max=256\)"):
        world.parties[1].submit_batch(job, 1, 0, [*leaves, leaves[0]])
    with pytest.raises(TransactionError, match=r"BatchSizeInvalid\(size=0, max=256\)"):
        world.parties[1].submit_batch(job, 1, 0, [])


def test_a_small_payload_by_reference_is_out_of_bounds_where_the_job_is_not_pipelined(world: Any) -> None:
    job = world.training_job(pipelined=False)
    passive, address = world.parties[1], world.addresses()[1]
    sizes = (INLINE_LIMIT, INLINE_LIMIT + 1)
    leaves = [BatchLeaf(step, Kind.HISTOGRAM, bytes(20), b"\x01" * 32, size) for step, size in enumerate(sizes)]
    judged = passive.submit_batch(job, 1, 0, leaves)[1]
    assert [event.reason for event in judged] == [Reason.SIZE_OUT_OF_BOUNDS, Reason.ACCEPTED]
    world.steward.suspend(address, "forgiven")
    world.steward.reinstate(address)


def test_sending_an_accepted_uplink_again_does_nothing(world: Any) -> None:
    job = world.aligning_job()
    envelope = world.envelope(job, b"once")
    assert world.parties[0].submit(envelope, b"once")[1] is not None
    receipt, judged = world.parties[0].submit(envelope, b"once")
    assert (judged, receipt.events) == (None, ())
    assert world.parties[1].counts(job) == (1, 0)


def test_a_rejected_uplink_is_a_verdict_and_three_suspend(world: Any) -> None:
    account = Account.create()
    Sender(world.client, world.accounts[4]).transfer(account.address, 10**18)
    third = Consortium(world.client, world.deployment, Sender(world.client, account))
    third.register(
        f"bad-{account.address[2:10].lower()}", "127.0.0.1:1", stand_in_certificate(account.address), STAND_IN_KEY
    )
    world.steward.accredit(account.address)
    for strike in (1, 2, 3):
        receipt, judged = third.submit(Envelope(b"\x09" * 32, 0, 0, strike, Kind.PUBLIC_KEY, bytes(20), SHARD, 1), b"x")
        assert judged is not None
        assert (judged.reason, judged.payload) == (Reason.UNKNOWN_JOB, b"")
        struck = [event for event in receipt.events if isinstance(event, StrikeRecorded)]
        assert [(event.party, event.strikes) for event in struck] == [(account.address, strike)]
    assert isinstance(receipt.events[-1], ParticipantSuspended)
    assert third.participant(account.address).status is Status.SUSPENDED
    world.steward.reinstate(account.address)
    assert (third.participant(account.address).status, third.participant(account.address).strikes) == (2, 0)
    world.steward.suspend(account.address, "no longer a member")
    assert third.participant(account.address).status is Status.SUSPENDED


def test_an_unknown_kind_is_rejected_and_still_decodes(world: Any) -> None:
    account = Account.create()
    Sender(world.client, world.accounts[4]).transfer(account.address, 10**18)
    third = Consortium(world.client, world.deployment, Sender(world.client, account))
    registered = third.register(
        f"odd-{account.address[2:10].lower()}", "127.0.0.1:1", stand_in_certificate(account.address), STAND_IN_KEY
    )
    assert isinstance(registered.events[0], ParticipantRegistered)
    assert isinstance(world.steward.accredit(account.address).receipt.events[-1], ParticipantAccredited)
    kind: Any = 200
    judged = third.submit(Envelope(b"\x09" * 32, 0, 0, 0, kind, bytes(20), SHARD, 1), b"x")[1]
    assert judged is not None
    assert judged.envelope.kind == 200
    assert third.verdict(account.address, judged.envelope).reason is judged.reason


def test_a_revert_carries_the_contract_s_error_and_its_arguments(world: Any) -> None:
    job = world.aligning_job()
    active, passive = world.parties
    with pytest.raises(TransactionError) as caught:
        active.begin_round(job, 1)
    assert caught.value.reason == "WrongPhase(expected=3, found=2)"
    assert "JobManager.beginRound" in str(caught.value)
    stranger = world.stranger.sender.address
    with pytest.raises(TransactionError) as caught:
        world.stranger.suspend(world.addresses()[0], "rival")
    assert caught.value.reason == f"NotSteward(caller={stranger})"
    with pytest.raises(TransactionError) as caught:
        world.stranger.submit(world.envelope(job, b"x"), b"x")
    assert caught.value.reason == f"CallerNotAccredited(caller={stranger})"
    with pytest.raises(TransactionError) as caught:
        passive.propose(b"{}", [*world.addresses(), stranger], JobPolicy(1, 1, 1))
    assert caught.value.reason == f"PartyNotAccredited(party={stranger})"
    with pytest.raises(TransactionError) as caught:
        world.stranger.abort(job, "not mine")
    assert caught.value.reason == f"NotOnRoster(jobId={job}, caller={stranger})"


def test_a_read_that_reverts_carries_the_contract_s_error_too(world: Any) -> None:
    job = world.aligning_job()
    with pytest.raises(TransactionError) as caught:
        world.parties[0].request(job, 2**31)
    assert caught.value.reason == f"UnknownRequest(jobId={job}, requestId={2**31})"


def test_a_sender_goes_on_after_a_revert(world: Any) -> None:
    job = world.aligning_job()
    with pytest.raises(TransactionError):
        world.parties[0].accept(job)
    assert isinstance(world.parties[0].abort(job, "enough").events[-1], PhaseChanged)
    assert world.parties[0].job(job).phase is Phase.ABORTED


def test_running_out_of_gas_is_named(world: Any) -> None:
    from fedchain.chain import Call
    from fedchain.chain.abi import function

    call = Call("register", world.deployment.addresses["ParticipantRegistry"], b"")
    data = function("ParticipantRegistry", "register").encode("gasless", "127.0.0.1:1", b"certificate", STAND_IN_KEY)
    with pytest.raises(TransactionError, match="gas limit of 40000"):
        world.stranger.sender.transact(Call(call.what, call.to, data), 40_000)


def test_threads_that_share_a_sender_do_not_race(world: Any) -> None:
    job = world.aligning_job()
    active = world.parties[0]
    envelopes = [world.envelope(job, b"payload %d" % index) for index in range(12)]
    nonce = world.client.nonce(active.sender.address)
    reasons: list[Reason] = []
    failures: list[BaseException] = []

    def send(indices: range) -> None:
        try:
            for index in indices:
                judged = active.submit(envelopes[index], b"payload %d" % index)[1]
                assert judged is not None
                reasons.append(judged.reason)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=send, args=(range(start, 12, 4),)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert reasons == [Reason.ACCEPTED] * 12
    assert world.client.nonce(active.sender.address) == nonce + 12


def test_two_senders_of_one_account_take_turns(world: Any) -> None:
    first, second = (Sender(world.client, world.accounts[4]) for _ in range(2))
    to = Account.create().address
    for sender in (first, second, first, first, second):
        sender.transfer(to, 7)
    assert world.client.balance(to) == 35


def test_an_account_without_ether_is_told_to_get_some(world: Any) -> None:
    poor = Account.create()
    with pytest.raises(ChainError, match=f"{poor.address} has too little ether.*fund it first"):
        Sender(world.client, poor).transfer(world.accounts[0].address, 10**18)


def test_the_wrong_chain_id_is_a_typed_error(world: Any) -> None:
    with pytest.raises(WrongChainError, match=f"expected 1, found {world.client.chain_id}"):
        ChainClient(world.chain.rpc_url, expected_chain_id=1)


def test_a_call_without_a_sender_is_refused(world: Any) -> None:
    with pytest.raises(ConfigError, match="opened for reading"):
        Consortium(world.client, world.deployment).register("x", "y", b"z", STAND_IN_KEY)


def test_a_deployment_of_another_chain_is_refused(world: Any, world_of: Any, tmp_path: Path) -> None:
    if world.chain.kind == "embedded":
        wrong = world.deployment.model_copy(update={"chain_id": 5})
    else:
        wrong = world_of("embedded").deployment
    with pytest.raises(WrongChainError, match="chain id"):
        Consortium(world.client, wrong)
    wrong.save(tmp_path / "deployment.json")
    with pytest.raises(WrongChainError, match="chain id"):
        deploy(world.client, world.accounts[0], wrong.stewards, tmp_path / "deployment.json")


def test_a_stopped_chain_is_unreachable_and_names_its_address() -> None:
    from fedchain.chain import start_dev_chain

    with start_dev_chain("embedded") as chain:
        client = ChainClient(chain.rpc_url)
        assert client.head() == 0
    with pytest.raises(ChainUnreachableError, match=f"{client.rpc_url}.*check that the node runs"):
        client.head()
