"""The model registry through its Python binding, on the embedded chain, anvil and Ganache."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from fedchain.chain import (
    ModelActivated,
    ModelApproved,
    ModelFrozen,
    ModelProposed,
    ModelRolledBack,
    ModelState,
    ModelVersion,
)
from fedchain.errors import TransactionError
from fedchain.messages import Envelope
from fedchain.types import JobId, Kind
from tests.integration.chain.conftest import digest_of


def completed_job(world: Any) -> tuple[JobId, list[bytes]]:
    """A job of both parties with a model, and its shard digests."""
    job = world.training_job(pipelined=False)
    for party in world.parties:
        party.declare_stop(job, 1)
    digests = []
    for address, party in zip(world.addresses(), world.parties, strict=True):
        digests.append(hashlib.sha256(f"{job}{address}".encode()).digest())
        payload = b"shard" + digests[-1]
        envelope = Envelope(
            bytes.fromhex(job[2:]), 2, 0, 0, Kind.SHARD_DIGEST, bytes(20), digest_of(payload), len(payload)
        )
        party.submit(envelope, payload)
    return job, digests


def test_a_model_goes_from_its_proposal_to_its_successor_and_back(world: Any) -> None:
    active, passive = world.parties
    roster = tuple(world.addresses())
    name = f"arrears-{next(world.steps)}"
    first, digests = completed_job(world)
    before = world.client.head() + 1

    assert (active.models.version_count(name), active.models.active_version(name)) == (0, 0)
    assert active.models.version(name, 1) is None
    assert active.models.holder(name) is None
    assert passive.models.propose(name, first) == 1
    assert active.models.names()[-1] == name
    assert active.models.proposal(name, first) == 1
    found = active.models.version(name, 1)
    assert found == ModelVersion(
        name=name,
        version=1,
        state=ModelState.PROPOSED,
        job_id=first,
        proposer=roster[1],
        roster=roster,
        shard_digests=tuple(digests),
        approved=(False, False),
        frozen_block=0,
        activated_block=0,
    )
    passive.models.approve(name, 1)
    assert active.models.version(name, 1).approved == (False, True)
    assert active.models.registration(first) is None
    with pytest.raises(TransactionError, match=r"WrongModelState\(version=1, expected=2, found=1\)"):
        active.models.activate(name, 1)
    frozen_at = active.models.approve(name, 1).block_number
    found = active.models.version(name, 1)
    assert (found.state, found.approved, found.frozen_block) == (ModelState.FROZEN, (True, True), frozen_at)
    assert active.models.registration(first) == (name, 1)
    assert active.models.holder(name) == roster[0]
    active.models.activate(name, 1)

    second, _ = completed_job(world)
    assert active.models.propose(name, second) == 2
    for party in world.parties:
        party.models.approve(name, 2)
    with pytest.raises(TransactionError, match="NotActiveParty"):
        passive.models.activate(name, 2)
    active.models.activate(name, 2)
    assert active.models.version(name, 1).state is ModelState.RETIRED
    assert active.models.active_version(name) == 2
    assert active.models.roll_back(name) == 1
    assert active.models.active_version(name) == 1
    with pytest.raises(TransactionError, match=r"NothingToRollBackTo\(version=1\)"):
        active.models.roll_back(name)

    events = [one for one in active.events(before, world.client.head()) if getattr(one, "name", "") == name]
    assert [(type(one), one.version, one.job_id) for one in events] == [
        (ModelProposed, 1, first),
        (ModelApproved, 1, first),
        (ModelApproved, 1, first),
        (ModelFrozen, 1, first),
        (ModelActivated, 1, first),
        (ModelProposed, 2, second),
        (ModelApproved, 2, second),
        (ModelApproved, 2, second),
        (ModelFrozen, 2, second),
        (ModelActivated, 2, second),
        (ModelRolledBack, 1, first),
    ]
    proposed, approved = events[0], events[1]
    assert isinstance(proposed, ModelProposed)
    assert (proposed.proposer, proposed.roster, proposed.shard_digests) == (roster[1], roster, tuple(digests))
    assert isinstance(approved, ModelApproved)
    assert (approved.party, approved.approvals, approved.needed) == (roster[1], 1, 2)
    activated, rolled_back = events[-2], events[-1]
    assert isinstance(activated, ModelActivated)
    assert (activated.by, activated.replaced) == (roster[0], 1)
    assert isinstance(rolled_back, ModelRolledBack)
    assert (rolled_back.by, rolled_back.withdrawn) == (roster[0], 2)


def test_whoever_has_no_part_in_a_model_is_refused_with_a_typed_error(embedded: Any) -> None:
    active = embedded.parties[0]
    name = f"refused-{next(embedded.steps)}"
    job, _ = completed_job(embedded)
    stranger = embedded.stranger
    with pytest.raises(TransactionError, match="NotOnRoster"):
        stranger.models.propose(name, job)
    with pytest.raises(TransactionError, match=r"ModelNameInvalid\(length=7, max=64\)"):
        active.models.propose("Arrears", job)
    with pytest.raises(TransactionError, match="UnknownJob"):
        active.models.propose(name, JobId("0x" + "00" * 32))
    with pytest.raises(TransactionError, match=r"UnknownVersion\(version=1, versions=0\)"):
        active.models.approve(name, 1)
    active.models.propose(name, job)
    with pytest.raises(TransactionError, match=r"JobProposedBefore\(jobId=0x\w+, version=1\)"):
        active.models.propose(name, job)
    with pytest.raises(TransactionError, match="NotOnRoster"):
        stranger.models.approve(name, 1)
    active.models.approve(name, 1)
    with pytest.raises(TransactionError, match="AlreadyApproved"):
        active.models.approve(name, 1)
    with pytest.raises(TransactionError, match=r"NothingToRollBackTo\(version=0\)"):
        active.models.roll_back(name)
