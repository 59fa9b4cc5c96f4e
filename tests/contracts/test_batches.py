"""Batched uplinks through the web3 library: each leaf an uplink of its own; small ones by reference when pipelined."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from eth_abi.abi import encode
from eth_utils.crypto import keccak
from web3.logs import DISCARD

from tests.contracts.consortium import KINDS, NOBODY, REASONS, Consortium, envelope
from tests.contracts.test_job_life import ENVELOPE_TYPE

GAS = 2_000_000


def _batch(consortium: Consortium, job_id: bytes, leaves: list[tuple[Any, ...]]) -> tuple[list[str], Any]:
    call = consortium.ledger.functions.submitBatch(job_id, 1, 0, 1, leaves)
    receipt = consortium.send(consortium.passive, call, GAS)
    events = consortium.ledger.events.UplinkJudged().process_receipt(receipt, DISCARD)
    return [REASONS[event["args"]["reason"]] for event in events], events


def test_each_leaf_is_judged_under_the_id_of_its_envelope(consortium: Consortium) -> None:
    job_id = consortium.in_round_one(pipelined=True)
    sent = [envelope(job_id, 1, "histogram", step=step, size=step + 1, recipient=consortium.active) for step in (0, 1)]
    leaves = [(one.step, one.kind, one.recipient, one.digest, one.size) for one in sent]
    reasons, events = _batch(consortium, job_id, leaves)
    assert reasons == ["Accepted", "Accepted"]
    for one, event in zip(sent, events, strict=True):
        fields = (
            consortium.w3.eth.chain_id,
            consortium.ledger.address,
            consortium.passive,
            tuple(asdict(one).values()),
        )
        expected = keccak(encode(["uint256", "address", "address", ENVELOPE_TYPE], fields))
        assert (event["args"]["uplinkId"], event["args"]["payload"]) == (expected, b"")
        assert REASONS[consortium.ledger.functions.verdictOf(expected).call()[1]] == "Accepted"


def test_small_payloads_by_reference_belong_to_pipelined_jobs(consortium: Consortium, job_id: bytes) -> None:
    leaf = (0, KINDS.index("histogram"), NOBODY, b"d" * 32, 98_304)
    assert _batch(consortium, job_id, [leaf])[0] == ["SizeOutOfBounds"]
    assert _batch(consortium, consortium.in_round_one(pipelined=True), [leaf])[0] == ["Accepted"]
    assert _batch(consortium, job_id, [(*leaf[:4], 98_305)])[0] == ["Accepted"]
