"""The inference router through its Python binding, on the embedded chain, anvil and Ganache."""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from fedchain.chain import (
    MAX_REQUESTS,
    MAX_SEALED_BYTES,
    Anchor,
    Asked,
    JobPolicy,
    ReceiptsAnchored,
    RequestAsked,
    RequestClosed,
    RequestRefused,
    RequestStatus,
    Reservation,
    Reserved,
    Terms,
    TermsSet,
)
from fedchain.chain.gas import LARGEST_TRANSACTION, ask_gas
from fedchain.errors import QuotaExceededError, TransactionError
from fedchain.messages import Envelope
from fedchain.types import JobId, Kind, Reason
from tests.integration.chain.conftest import digest_of

TERMS = Terms(100, 366 * 86_400)
"""A window so long that none ends while a test runs, but once a year."""
ROOT = b"\x07" * 32


def completed_job(world: Any, terms: Terms | None = TERMS) -> JobId:
    """A job of both parties with a model, and with terms unless they are None."""
    roster = world.addresses()
    active = world.parties[0]
    job: JobId = active.propose(b'{"asked":%d}' % next(world.steps), roster, JobPolicy(1 << 20, 100, 10**6))
    if terms is not None:
        active.inference.set_terms(job, terms)
    for party in world.parties:
        party.accept(job)
    for party in world.parties:
        party.declare_aligned(job, b"\x07" * 32, 100)
    active.begin_round(job, 1)
    for party in world.parties:
        party.declare_stop(job, 1)
    for party in world.parties:
        payload = b"shard" + hashlib.sha256(job.encode()).digest()
        envelope = Envelope(
            bytes.fromhex(job[2:]), 2, 0, 0, Kind.SHARD_DIGEST, bytes(20), digest_of(payload), len(payload)
        )
        party.submit(envelope, payload)
    return job


def test_rows_are_reserved_within_the_terms_and_receipts_anchored(world: Any) -> None:
    active, passive = world.parties
    address = world.addresses()[1]
    before = world.client.head() + 1
    job = completed_job(world)
    assert passive.inference.knows_terms()
    assert passive.inference.terms(job) == TERMS
    with pytest.raises(TransactionError, match="TermsTooLate"):
        active.inference.set_terms(job, replace(TERMS, quota=7))

    first = passive.inference.reserve(job, 60)
    assert (first.first, first.count, first.end) == (0, 60, 60)
    second = passive.inference.reserve(job, 30)
    assert second == Reservation(60, 30, first.window)
    usage = passive.inference.reserved(job, address)
    assert (usage.next, usage.used_in_window, usage.window) == (90, 90, first.window)
    with pytest.raises(QuotaExceededError, match="leaves 10 rows until 20") as caught:
        passive.inference.reserve(job, 11)
    assert caught.value.left == 10
    assert caught.value.window_ends == (first.window + 1) * TERMS.window_seconds
    with pytest.raises(TransactionError, match="CountInvalid"):
        passive.inference.reserve(job, 0)
    assert passive.inference.reservations(job, address, before) == [first, second]
    assert active.inference.reservations(job, world.addresses()[0], before) == []

    anchor = passive.inference.anchor(job, ROOT, 50)
    assert anchor == Anchor(0, ROOT, 50, anchor.block_number)
    passive.inference.anchor(job, hashlib.sha256(ROOT).digest(), 40)
    with pytest.raises(TransactionError, match=r"CountInvalid\(count=1, max=0\)"):
        passive.inference.anchor(job, ROOT, 1)
    assert active.inference.anchored(job, address) == (2, 90)
    assert active.inference.is_anchored(job, address, 0, ROOT)
    assert not active.inference.is_anchored(job, address, 1, ROOT)
    anchors = active.inference.anchors(job, address, before)
    assert [one.index for one in anchors] == [0, 1]
    assert anchors[0] == anchor
    assert active.inference.anchors(job, address, before, anchor.block_number) == [anchor]

    events = active.events(before, world.client.head())
    (terms,) = [event for event in events if isinstance(event, TermsSet)]
    assert (terms.by, terms.quota, terms.answer_seconds) == (world.addresses()[0], 100, 600)
    assert len([event for event in events if isinstance(event, Reserved)]) == 2
    assert len([event for event in events if isinstance(event, ReceiptsAnchored)]) == 2


def test_a_job_without_terms_takes_nothing(world: Any) -> None:
    passive = world.parties[1]
    job = completed_job(world, None)
    assert passive.inference.terms(job) is None
    with pytest.raises(TransactionError, match="TermsMissing"):
        passive.inference.reserve(job, 1)
    (asked,) = passive.inference.ask(job, [b"sealed"])
    assert asked == Asked(2**31, Reason.RATE_EXCEEDED)
    assert passive.inference.reason(job, asked.request_id) is Reason.RATE_EXCEEDED


def test_strict_requests_are_judged_each_and_closed_once(world: Any) -> None:
    active, passive = world.parties
    job = completed_job(world, replace(TERMS, quota=3))
    before = world.client.head() + 1
    bodies = [b"one", bytes(MAX_SEALED_BYTES + 1), b"three", b"four", b"five"]
    asked = passive.inference.ask(job, bodies)
    reasons = [Reason.ACCEPTED, Reason.SIZE_OUT_OF_BOUNDS, Reason.ACCEPTED, Reason.ACCEPTED, Reason.RATE_EXCEEDED]
    assert asked == [Asked(2**31 + index, reason) for index, reason in enumerate(reasons)]
    events = passive.events(before, world.client.head())
    taken = [event for event in events if isinstance(event, RequestAsked)]
    assert [(one.request_id - 2**31, one.sealed) for one in taken] == [(0, b"one"), (2, b"three"), (3, b"four")]
    assert taken[0].digest == hashlib.sha256(b"one").digest()
    refused = [event for event in events if isinstance(event, RequestRefused)]
    assert [one.reason for one in refused] == [Reason.SIZE_OUT_OF_BOUNDS, Reason.RATE_EXCEEDED]
    deadline = active.inference.deadline(job, 2**31)
    assert deadline == world.client.block_time(taken[0].block_number)[1] + 600

    answer = Envelope(bytes.fromhex(job[2:]), 2**31, 0, 0, Kind.PREDICT_ANSWER, bytes(20), digest_of(b"bits"), 4)
    _, judged = active.submit(answer, b"bits")
    assert judged is not None
    assert judged.reason is Reason.ACCEPTED
    passive.close_request(job, 2**31 + 2, RequestStatus.EXPIRED)
    outcomes = [(2**31, RequestStatus.DONE), (2**31 + 2, RequestStatus.DONE), (2**31 + 3, RequestStatus.REJECTED)]
    assert active.inference.close_many(job, outcomes) == [2**31, 2**31 + 3]
    found = [active.request(job, 2**31 + index).status for index in range(5)]
    done, rejected, expired = RequestStatus.DONE, RequestStatus.REJECTED, RequestStatus.EXPIRED
    assert found == [done, rejected, expired, rejected, rejected]
    assert active.inference.deadline(job, 2**31) == 0


def test_a_strict_request_that_nobody_ends_is_ended_by_anybody(embedded: Any) -> None:
    world, (active, passive) = embedded, embedded.parties
    job = completed_job(world, replace(TERMS, answer_seconds=1))
    (asked,) = active.inference.ask(job, [b"sealed"])
    deadline = active.inference.deadline(job, asked.request_id)
    while world.client.block_time()[1] <= deadline:  # a block is a second later than the one before, at least
        world.stranger.sender.transfer(world.addresses()[0], 1)
        time.sleep(0.1)
    receipt = passive.inference.expire(job, asked.request_id)
    (closed,) = [event for event in receipt.events if isinstance(event, RequestClosed)]
    assert (closed.by, closed.outcome) == (world.addresses()[1], RequestStatus.EXPIRED)
    with pytest.raises(TransactionError, match="RequestNotOpen"):
        passive.inference.expire(job, asked.request_id)


def test_the_dearest_requests_stay_below_their_bound(world: Any) -> None:
    active = world.parties[0]
    job, without = completed_job(world), completed_job(world, None)
    for count, size in ((1, 1), (1, MAX_SEALED_BYTES), (MAX_REQUESTS, MAX_SEALED_BYTES)):
        bodies = [os.urandom(size).replace(b"\0", b"\1") for _ in range(count)]
        for one, reason in ((job, Reason.ACCEPTED), (without, Reason.RATE_EXCEEDED)):
            before = world.client.head()
            assert [asked.reason for asked in active.inference.ask(one, bodies)] == [reason] * count
            used = world.client.usage(before + 1, world.client.head()).gas
            assert used * 1.05 < ask_gas(count, count * size) <= LARGEST_TRANSACTION


def test_concurrent_reservations_cannot_pass_the_quota(embedded: Any) -> None:
    passive, address = embedded.parties[1], embedded.addresses()[1]
    job = completed_job(embedded)

    def reserve(_: int) -> Reservation | None:
        try:
            return passive.inference.reserve(job, 7)  # type: ignore[no-any-return]
        except QuotaExceededError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [one for one in pool.map(reserve, range(24)) if one is not None]
    assert len(made) == 100 // 7
    assert sorted(one.first for one in made) == list(range(0, 98, 7))
    assert passive.inference.reserved(job, address).used_in_window == 98
