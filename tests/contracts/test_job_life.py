"""A minimal job from proposal to completion and its first prediction, on an in-process chain."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_tester.exceptions import TransactionFailed
from eth_utils.crypto import keccak

from tests.contracts.consortium import REASONS, Consortium, Envelope, envelope

ENVELOPE_TYPE = "(bytes32,uint32,uint16,uint32,uint8,address,uint16,bytes32,uint64,uint64)"


def _uplink_id(consortium: Consortium, sender: str, sent: Envelope) -> bytes:
    fields = (consortium.w3.eth.chain_id, consortium.ledger.address, sender, tuple(asdict(sent).values()))
    return keccak(encode(["uint256", "address", "address", ENVELOPE_TYPE], fields))


def test_job_completes_with_a_verdict_for_every_uplink(consortium: Consortium) -> None:
    c = consortium
    jobs = c.jobs.functions
    job_id = c.propose()
    assert c.phase(job_id) == "Proposed"
    c.every(jobs.accept(job_id))
    assert c.phase(job_id) == "Aligning"
    uplinks = [(c.active, envelope(job_id, 0, "public_key")), (c.passive, envelope(job_id, 0, "blinded_ids"))]
    for sender, sent in uplinks:
        assert c.submit(sender, sent)[1] == "Accepted"
    c.every(jobs.declareAligned(job_id, b"o" * 32, 100))
    assert c.phase(job_id) == "Training"
    c.send(c.active, jobs.beginRound(job_id, 1))
    training = [
        (c.active, envelope(job_id, 1, "gradients")),
        (c.passive, envelope(job_id, 1, "histogram", recipient=c.active)),
        (c.active, envelope(job_id, 1, "split", recipient=c.passive)),
        (c.passive, envelope(job_id, 1, "partition", recipient=c.active)),
        (c.active, envelope(job_id, 1, "leaf_weights")),
    ]
    for sender, sent in training:
        assert c.submit(sender, sent)[1] == "Accepted"
    c.every(jobs.declareStop(job_id, 1))
    assert c.phase(job_id) == "Evaluating"
    sent = envelope(job_id, 2, "contribution", statisticE6=7)
    contribution_id, reason, _ = c.submit(c.active, sent)
    assert reason == "Accepted"
    c.send(c.active, c.contributions.functions.record(job_id, contribution_id, [5, -2, 4], -10, -17))
    recorded = c.contributions.functions.contributionOf(job_id).call()
    assert recorded[:4] == [c.roster, [5, -2, 4], -10, -17]
    shards = [(party, envelope(job_id, 2, "shard_digest")) for party in c.roster]
    for sender, sent in shards:
        assert c.phase(job_id) == "Evaluating"
        assert c.submit(sender, sent)[1] == "Accepted"
    assert c.phase(job_id) == "Completed"
    shard_digest = b"a payload of more than thirty-two bytes"[-32:]
    assert [jobs.shardDigestOf(job_id, party).call() for party in c.roster] == [shard_digest] * 3

    for sender, sent in [*uplinks, *training, *shards]:
        found = c.ledger.functions.verdictOf(_uplink_id(c, sender, sent)).call()
        assert (found[0], REASONS[found[1]], found[2], found[4]) == (sender, "Accepted", sent.kind, True)
    assert c.ledger.functions.countsOf(job_id).call() == [11, 0]


def test_prediction_is_asked_and_answered_under_its_request_id(consortium: Consortium, job_id: bytes) -> None:
    c = consortium
    c.every(c.jobs.functions.declareStop(job_id, 1))
    for party in c.roster:
        c.submit(party, envelope(job_id, 2, "shard_digest"))
    c.send(c.active, c.router.functions.open(job_id))
    request_id = 2**31
    assert c.router.functions.isOpen(job_id, request_id).call()
    assert c.submit(c.active, envelope(job_id, request_id, "predict_request"))[1] == "Accepted"
    assert c.submit(c.passive, envelope(job_id, request_id, "predict_answer", recipient=c.active))[1] == "Accepted"
    c.send(c.active, c.router.functions.close(job_id, request_id, 1))
    assert c.submit(c.other, envelope(job_id, request_id, "predict_answer"))[1] == "WrongRound"
    requester, status, opened, closed = c.router.functions.requestOf(job_id, request_id).call()
    assert (requester, status) == (c.active, 1)
    assert 0 < opened < closed


def test_alignment_that_differs_aborts_the_job(consortium: Consortium) -> None:
    c = consortium
    job_id = c.propose()
    c.every(c.jobs.functions.accept(job_id))
    c.send(c.active, c.jobs.functions.declareAligned(job_id, b"o" * 32, 100))
    c.send(c.passive, c.jobs.functions.declareAligned(job_id, b"x" * 32, 100))
    assert c.phase(job_id) == "Aborted"


def test_job_id_is_the_hash_of_chain_contract_proposer_spec_and_count(consortium: Consortium) -> None:
    c = consortium
    count = c.jobs.functions.jobCount().call()
    job_id = c.propose()
    spec_digest = c.jobs.functions.jobOf(job_id).call()[4]
    fields = (c.w3.eth.chain_id, c.jobs.address, c.active, spec_digest, count)
    assert job_id == keccak(encode(["uint256", "address", "address", "bytes32", "uint256"], fields))


def test_wrong_call_reverts_with_its_typed_error(consortium: Consortium) -> None:
    c = consortium
    job_id = c.propose()
    call: Any = c.jobs.functions.beginRound(job_id, 1)
    with pytest.raises(TransactionFailed) as caught:
        call.call({"from": c.passive})
    error = keccak(b"NotActiveParty(bytes32,address)")[:4] + encode(["bytes32", "address"], [job_id, c.passive])
    assert str(error) in str(caught.value)  # the chain in process reports the revert data as Python bytes
