"""RecordedPayloads: small payloads are served from the record of what was sent, to their recipients alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedchain.crypto.merkle import CHUNK_BYTES, payload_digest
from fedchain.errors import PayloadUnavailableError
from fedchain.exchange import NodeState
from fedchain.exchange.directory import Peer
from fedchain.exchange.recorded import RecordedPayloads
from fedchain.exchange.records import OutgoingSlot
from fedchain.types import JobId, Kind
from tests.unit.exchange.peers import World, address_of

JOB, OTHER = JobId("0x" + "ab" * 32), JobId("0x" + "cd" * 32)
PAYLOAD = bytes(range(256)) * (CHUNK_BYTES // 256) + b"a second chunk"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[NodeState]:
    one = NodeState(tmp_path / "node.sqlite", chain_id=1337, genesis_hash=bytes(32))
    yield one
    one.close()


def sends(state: NodeState, payload: bytes, *, job_id: JobId = JOB, to: str = "", step: int = 0) -> bytes:
    slot = OutgoingSlot(job_id, 1, 0, step, Kind.HISTOGRAM, to)
    return state.prepare(slot.holding(payload_digest(payload), len(payload), 0, payload)).digest


def fetch(world: World, name: str, peer: Peer, digest: bytes, payload: bytes = PAYLOAD) -> bytes:
    return world.client(name).fetch(
        peer, digest, len(payload), job_id=JOB, culprit="alpha", max_bytes=10**6, deadline_seconds=0.5
    )


def test_recipients_fetch_it_and_nobody_else_and_nobody_once_the_job_is_over(world: World, state: NodeState) -> None:
    world.party("gamma")
    recorded = RecordedPayloads(state)
    peer = world.peer("alpha", world.server("alpha", world.store("alpha"), recorded=recorded).endpoint)
    for_all = sends(state, PAYLOAD)
    for_beta = sends(state, b"for beta", to=address_of("beta"), step=1)
    with pytest.raises(PayloadUnavailableError, match="NOT_FOUND"):
        fetch(world, "beta", peer, for_all)
    recorded.serve(JOB, (address_of("alpha"), address_of("beta"), address_of("gamma")))
    assert fetch(world, "beta", peer, for_all) == PAYLOAD
    assert fetch(world, "gamma", peer, for_all) == PAYLOAD
    assert fetch(world, "beta", peer, for_beta, b"for beta") == b"for beta"
    with pytest.raises(PayloadUnavailableError, match="PERMISSION_DENIED"):
        fetch(world, "gamma", peer, for_beta, b"for beta")
    recorded.forget(JOB)
    assert recorded.open(for_all) is None


def test_what_two_jobs_hold_may_be_fetched_by_the_recipients_of_both(state: NodeState) -> None:
    recorded = RecordedPayloads(state)
    digest = sends(state, b"the same", to="0xB")
    sends(state, b"the same", job_id=OTHER, to="0xC")
    recorded.serve(JOB, ("0xA", "0xB"))
    recorded.serve(OTHER, ("0xA", "0xC"))
    found = recorded.open(digest)
    assert found is not None
    assert [found.holding.allows(one) for one in ("0xA", "0xB", "0xC")] == [False, True, True]


def test_a_transfer_goes_on_at_a_later_chunk(state: NodeState) -> None:
    recorded = RecordedPayloads(state)
    recorded.serve(JOB, ())
    found = recorded.open(sends(state, PAYLOAD))
    assert found is not None
    assert list(found.runs(0)) == [(0, PAYLOAD)]
    assert list(found.runs(1)) == [(1, b"a second chunk")]


def test_a_large_payload_is_not_its_to_serve(state: NodeState) -> None:
    slot = OutgoingSlot(JOB, 1, 0, 0, Kind.GRADIENTS, "")
    state.prepare(slot.holding(bytes(32), 10**6, 0, None))
    recorded = RecordedPayloads(state)
    recorded.serve(JOB, ("0xA",))
    assert recorded.open(bytes(32)) is None
