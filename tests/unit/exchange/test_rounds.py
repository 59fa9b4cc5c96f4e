"""Rounds: what the chain has told of a job's rounds, and where a party has to start over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.chain import RoundBegan
from fedchain.exchange.rounds import Rounds
from tests.unit.exchange.ledger import JOB


def began(round: int, attempt: int = 0) -> RoundBegan:
    return RoundBegan(
        job_id=JOB,
        round=round,
        attempt=attempt,
        block_number=0,
        block_hash=bytes(32),
        log_index=0,
        transaction_hash=bytes(32),
    )


def told(*events: tuple[int, int], pipelined: bool = True) -> Rounds:
    """What is known after these rounds began with these attempts."""
    rounds = Rounds(pipelined=pipelined)
    for round, attempt in events:
        rounds.begin(began(round, attempt))
    return rounds


def start_over(rounds: Rounds, attempt: int) -> tuple[int, int] | None:
    """Round and attempt with which a party goes on that worked on that attempt last."""
    error = rounds.rolled_back_since(attempt)
    return None if error is None else (error.round, error.attempt)


def test_before_the_first_round_nothing_has_begun() -> None:
    rounds = told()
    assert not rounds.any_begun
    assert rounds.begun(1) is None
    assert rounds.attempt == 0
    assert start_over(rounds, 0) is None


@pytest.mark.parametrize("pipelined", [False, True])
def test_a_round_that_begins_for_the_first_time_rolls_nothing_back(pipelined: bool) -> None:
    rounds = Rounds(pipelined=pipelined)
    assert [rounds.begin(began(round)) for round in (1, 2)] == [False, False]
    assert rounds.any_begun
    assert [rounds.begun(round) for round in (1, 2, 3)] == [0, 0, None]
    assert start_over(rounds, 0) is None


def test_a_higher_attempt_rolls_back_its_round_and_those_after_it() -> None:
    rounds = told((1, 0), (2, 0), (3, 0))
    assert rounds.begin(began(2, 1))
    assert [rounds.begun(round) for round in (1, 2, 3)] == [0, 1, None]
    assert rounds.attempt == 1
    assert start_over(rounds, 0) == (2, 1)


def test_the_rounds_after_one_that_was_tried_again_keep_its_attempt() -> None:
    rounds = told((1, 0), (1, 1))
    assert not rounds.begin(began(2, 1))
    assert [rounds.begun(round) for round in (1, 2)] == [1, 1]
    assert start_over(rounds, 0) == (1, 1)


def test_whoever_has_started_over_is_not_told_again() -> None:
    rounds = told((1, 0), (2, 0), (1, 1), (2, 1), (2, 2))
    assert start_over(rounds, 1) == (2, 2)
    assert start_over(rounds, 2) is None


def test_whoever_missed_several_attempts_starts_over_from_the_earliest_round_with_the_last_attempt() -> None:
    rounds = told((1, 0), (2, 0), (3, 0), (2, 1), (3, 1), (3, 2), (4, 2))
    assert start_over(rounds, 0) == (2, 2)
    assert start_over(rounds, 1) == (3, 2)


def test_in_a_strict_job_each_round_counts_its_own_attempts_and_nothing_is_rolled_back() -> None:
    rounds = told((1, 0), pipelined=False)
    assert not rounds.begin(began(1, 1))
    assert (rounds.begun(1), rounds.attempt) == (1, 1)
    assert not rounds.begin(began(2, 0))
    assert [rounds.begun(round) for round in (1, 2)] == [1, 0]
    assert rounds.attempt == 0
    assert start_over(rounds, 0) is None


def test_after_training_the_attempt_is_none_and_nobody_starts_over() -> None:
    rounds = told((1, 0), (1, 1))
    rounds.end()
    assert rounds.attempt == 0
    assert start_over(rounds, 0) is None
    assert rounds.begun(1) == 1


@given(steps=st.lists(st.sampled_from(["begin", "again", "previous"]), max_size=40))
def test_the_rounds_of_a_pipelined_job_are_those_of_the_contract(steps: list[str]) -> None:
    """`JobManager` in a few lines: a stack of begun rounds, of which a retry takes the last one or two."""
    rounds = Rounds(pipelined=True)
    stack: list[int] = []  # the attempt with which each round began
    retries: list[int] = []  # the round that each attempt tried again
    for step in steps:
        if step == "begin":
            stack.append(len(retries))
            assert not rounds.begin(began(len(stack), len(retries)))
        elif len(stack) >= (1 if step == "again" else 2):
            del stack[-1 if step == "again" else -2 :]
            retries.append(len(stack) + 1)
            stack.append(len(retries))
            assert rounds.begin(began(len(stack), len(retries)))
        assert rounds.attempt == len(retries)
        assert rounds.any_begun == bool(stack)
        assert [rounds.begun(round) for round in range(1, len(stack) + 3)] == [*stack, None, None]
    for attempt in range(len(retries) + 1):
        later = retries[attempt:]
        assert start_over(rounds, attempt) == ((min(later), len(retries)) if later else None)
