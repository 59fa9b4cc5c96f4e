"""Uplinks are not estimated: the dearest that the ledger's rules permit stay below the bounds."""

from __future__ import annotations

import os
from typing import Any

import pytest

from fedchain.chain import Account, BatchLeaf, Consortium, ParticipantSuspended, PhaseChanged, Sender
from fedchain.chain.abi import function
from fedchain.chain.contracts import MAX_LEAVES
from fedchain.chain.gas import LARGEST_TRANSACTION, batch_gas, uplink_gas
from fedchain.chain.reads import envelope_values
from fedchain.messages import Envelope
from fedchain.types import INLINE_LIMIT, JobId, Kind, Phase, Reason
from tests.certificates import STAND_IN_KEY, stand_in_certificate
from tests.integration.chain.conftest import digest_of

FULL = bytes(1 + index % 255 for index in range(INLINE_LIMIT))
"""No zero among them: calldata costs most."""


def bound(envelope: Envelope, payload: bytes) -> int:
    return uplink_gas(len(function("UplinkLedger", "submit").encode(envelope_values(envelope), payload)))


def evaluating(world: Any) -> JobId:
    job: JobId = world.training_job(pipelined=False)
    for party in world.parties:
        party.declare_stop(job, 1)
    return job


@pytest.mark.parametrize("payload", [b"\xff" * 32, FULL], ids=["32-bytes", "full"])
def test_the_uplink_that_completes_a_job_stays_below_its_bound(world: Any, payload: bytes) -> None:
    job = evaluating(world)
    envelope = Envelope(bytes.fromhex(job[2:]), 2, 0, 0, Kind.SHARD_DIGEST, bytes(20), digest_of(payload), len(payload))
    world.parties[0].submit(envelope, payload)
    receipt, judged = world.parties[1].submit(envelope, payload)
    assert judged is not None
    assert [event.phase for event in receipt.events if isinstance(event, PhaseChanged)] == [Phase.COMPLETED]
    assert receipt.gas_used * 1.1 < bound(envelope, payload) < LARGEST_TRANSACTION


@pytest.mark.parametrize("payload", [b"\xff" * 32, FULL], ids=["32-bytes", "full"])
def test_the_uplink_that_suspends_its_sender_stays_below_its_bound(world: Any, payload: bytes) -> None:
    account = Account.create()
    Sender(world.client, world.accounts[4]).transfer(account.address, 10**19)
    third = Consortium(world.client, world.deployment, Sender(world.client, account))
    name = f"dear-{account.address[2:10].lower()}"
    third.register(name, "127.0.0.1:1", stand_in_certificate(name), STAND_IN_KEY)
    world.steward.accredit(account.address)
    for step in range(3):
        envelope = Envelope(os.urandom(32), 0, 0, step, Kind.PUBLIC_KEY, bytes(20), digest_of(payload), len(payload))
        receipt, judged = third.submit(envelope, payload)
        assert judged is not None
        assert receipt.gas_used * 1.1 < bound(envelope, payload)
    assert isinstance(receipt.events[-1], ParticipantSuspended)


@pytest.mark.parametrize("count", [1, 16, MAX_LEAVES])
def test_the_dearest_batches_stay_below_their_bounds(world: Any, count: int) -> None:
    job = world.training_job(pipelined=True)
    passive, address = world.parties[1], world.addresses()[1]
    recipients = [bytes.fromhex(one[2:]) for one in world.addresses()]
    sound = [
        BatchLeaf(2**32 - 1 - step, Kind.HISTOGRAM, recipients[step % 2], os.urandom(32), 1_000_000 - step)
        for step in range(count)
    ]
    receipt, judged = passive.submit_batch(job, 1, 0, sound)
    assert [event.reason for event in judged] == [Reason.ACCEPTED] * count
    assert receipt.gas_used * 1.05 < batch_gas(count)
    wrong = [BatchLeaf(leaf.step - 1000, Kind.HISTOGRAM, leaf.recipient, bytes(32), leaf.size) for leaf in sound]
    receipt, judged = passive.submit_batch(job, 1, 0, wrong)
    assert len(judged) == count
    assert judged[0].reason == Reason.DIGEST_MISMATCH
    assert receipt.gas_used * 1.05 < batch_gas(count)
    if count < 3:
        world.steward.suspend(address, "forgiven")
    world.steward.reinstate(address)
