"""Rounds of pipelined jobs through the web3 library: they overlap, and one may be tried again, nobody's fault."""

from __future__ import annotations

from typing import Any

import pytest
from eth_tester.exceptions import TransactionFailed
from web3.logs import DISCARD

from tests.contracts.consortium import KINDS, REASONS, Consortium


@pytest.fixture
def pipelined(consortium: Consortium) -> bytes:
    """A pipelined job in phase Training with round 1 begun."""
    return consortium.in_round_one(pipelined=True)


def begin(consortium: Consortium, job_id: bytes, round_: int, *, retry: bool = False) -> tuple[int, int]:
    """Begin a round, or try it again; the round and the attempt that the event names."""
    functions = consortium.jobs.functions
    call = functions.retryRound(job_id, round_) if retry else functions.beginRound(job_id, round_)
    (event,) = consortium.jobs.events.RoundBegan().process_receipt(consortium.send(consortium.active, call), DISCARD)
    job = functions.jobOf(job_id).call()
    assert (job[1], job[2]) == (event["args"]["round"], event["args"]["attempt"])
    return job[1], job[2]


def commit(consortium: Consortium, job_id: bytes, round_: int, attempt: int, step: int = 0) -> str:
    """A passive party commits a histogram; the verdict."""
    digest = bytes([round_, attempt, step]) + b"d" * 29
    leaves: list[tuple[Any, ...]] = [(step, KINDS.index("histogram"), consortium.active, digest, 100)]
    call = consortium.ledger.functions.submitBatch(job_id, round_, attempt, 1, leaves)
    receipt = consortium.send(consortium.passive, call, 2_000_000)
    (event,) = consortium.ledger.events.UplinkJudged().process_receipt(receipt, DISCARD)
    return REASONS[event["args"]["reason"]]


def test_the_attempt_stays_when_the_next_round_begins_in_a_pipelined_job(
    consortium: Consortium, pipelined: bytes
) -> None:
    assert begin(consortium, pipelined, 1, retry=True) == (1, 1)
    assert begin(consortium, pipelined, 2) == (2, 1)
    assert begin(consortium, pipelined, 1, retry=True) == (1, 2)
    assert begin(consortium, pipelined, 2) == (2, 2)


def test_the_attempt_begins_anew_with_each_round_of_a_strict_job(consortium: Consortium, job_id: bytes) -> None:
    assert begin(consortium, job_id, 1, retry=True) == (1, 1)
    assert begin(consortium, job_id, 2) == (2, 0)
    with pytest.raises(TransactionFailed):
        consortium.jobs.functions.retryRound(job_id, 1).call({"from": consortium.active})


def test_a_round_is_committed_while_the_next_one_is_open_but_not_later(
    consortium: Consortium, pipelined: bytes
) -> None:
    begin(consortium, pipelined, 2)
    assert commit(consortium, pipelined, 1, 0) == "Accepted"
    assert commit(consortium, pipelined, 2, 0) == "Accepted"
    begin(consortium, pipelined, 3)
    assert commit(consortium, pipelined, 1, 0, step=1) == "WrongRound"
    assert consortium.strikes(consortium.passive) == 1


def test_what_an_overtaken_attempt_still_commits_is_rejected_without_a_strike(
    consortium: Consortium, pipelined: bytes
) -> None:
    begin(consortium, pipelined, 2)
    begin(consortium, pipelined, 1, retry=True)
    assert commit(consortium, pipelined, 1, 0) == "WrongAttempt"
    assert commit(consortium, pipelined, 2, 0) == "WrongRound"
    assert consortium.strikes(consortium.passive) == 0
    assert consortium.ledger.functions.countsOf(pipelined).call() == [0, 2]
    assert commit(consortium, pipelined, 1, 1) == "Accepted"
    assert commit(consortium, pipelined, 1, 2) == "WrongAttempt"
    assert consortium.strikes(consortium.passive) == 1


def test_an_earlier_attempt_of_a_strict_job_is_a_strike(consortium: Consortium, job_id: bytes) -> None:
    begin(consortium, job_id, 1, retry=True)
    digest = b"d" * 32
    call = consortium.ledger.functions.submitBatch(
        job_id, 1, 0, 1, [(0, KINDS.index("histogram"), consortium.active, digest, 100_000)]
    )
    consortium.send(consortium.passive, call, 2_000_000)
    assert consortium.strikes(consortium.passive) == 1
