"""One party is absent: the others are not blocked for ever, and the chain tells whose fault it was."""

from __future__ import annotations

import secrets
from concurrent.futures import Future
from typing import Any

import pytest

from fedchain.chain import JobExpired, JobPolicy, PartyAttended, PartyMissing
from fedchain.errors import JobExpiredError
from fedchain.exchange import keeping
from fedchain.types import Phase
from tests.integration.node.conftest import Trio

pytestmark = pytest.mark.timeout(120)

PHASE_SECONDS = 4


def test_the_parties_that_wait_say_so_name_who_is_missing_and_end_the_job(
    trio: Trio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "SOFT_FLOOR_SECONDS", 0.5)
    addresses = list(trio.parties.values())
    policy = JobPolicy(2**20, 100, 10**9, phase_seconds=PHASE_SECONDS)
    job_id = trio.rigs[0].consortium.propose(secrets.token_bytes(40), addresses, policy)
    for rig in trio.rigs:
        rig.consortium.accept(job_id)

    def align(number: int) -> None:
        channel = trio.channel(trio.rigs[number], deadline_seconds=90.0)
        channel.declare_aligned(b"\x0a" * 32, 5)

    futures: list[Future[Any]] = [trio.pool.submit(align, number) for number in (0, 1)]  # and the third is away
    for future in futures:
        with pytest.raises(JobExpiredError, match=f"without {trio.names[2]}"):
            future.result(80)
    assert trio.phase(job_id) is Phase.EXPIRED
    consortium = trio.rigs[0].consortium
    events = [one for one in consortium.events(0, consortium.client.head()) if getattr(one, "job_id", None) == job_id]
    assert [one.party for one in events if isinstance(one, PartyMissing)] == [addresses[2]]
    assert {one.party for one in events if isinstance(one, PartyAttended)} == set(addresses[:2])
    assert [one.by in addresses[:2] for one in events if isinstance(one, JobExpired)] == [True]
    assert consortium.participant(addresses[2]).strikes == 0, "the first time is on the record only"
