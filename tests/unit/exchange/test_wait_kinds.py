"""A new wait without a kill test fails here: each kind of wait and each action has a place where somebody dies."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import get_args

import pytest

from fedchain.exchange.waits import ABOUTS, Waits
from fedchain.protocol import Action
from fedchain.types import Kind

ROOT = Path(__file__).parents[3]
POINTS = (ROOT / "tests/recovery/points.txt").read_text()
KINDS = {kind.name.lower() for kind in Kind}

KILLED_AT = {
    "accreditation": "starting after sending ParticipantRegistry.register",
    "attempt": "tests/integration/node/test_pipelined_jobs.py::"
    "test_a_party_that_restarts_while_a_round_is_rolled_back_starts_over",
    "audit_step": "before AwaitAudit voted",
    "conclusion": "before Conclude",
    "mining": "after sending JobManager.accept",
    "outage": "tests/recovery/test_chain_killed.py::test_chain_and_a_node_killed_at_once_go_on",
    "phase": "before waiting for TRAINING",
    "proofs": "tests/integration/node/test_proven_faults.py::"
    "test_a_proof_that_was_not_possible_then_is_brought_later_by_anybody",
    "restored": "tests/integration/node/test_reorganisations.py::"
    "test_blocks_that_a_node_missed_being_taken_back_are_made_good_when_it_is_started_again",
    "rotation": "tests/integration/node/test_key_rotation.py::"
    "test_killed_around_any_step_it_is_finished_by_the_command_or_the_next_start",
    "round": "before BeginRound",
    "settling": "settling after sending Settlement.settle",
    "verdict": "before waiting for the verdicts of a round",
    "view": "tests/unit/exchange/test_job_audit.py::"
    "test_a_step_that_the_chain_has_told_and_does_not_show_is_waited_for_until_the_job_ends",
}
"""Words of a point of `tests/recovery/points.txt`, or a test."""

WITHOUT_WAIT = {"Stage", "Flag"}
"""Actions that no party waits in, and that a job need not have."""


@pytest.mark.parametrize("about", sorted(ABOUTS - KINDS))
def test_each_kind_of_wait_has_a_test_in_which_a_node_dies_in_it_or_around_it(about: str) -> None:
    place = KILLED_AT[about]
    if "::" in place:
        path, name = place.split("::")
        assert f"def {name}(" in (ROOT / path).read_text()
    else:
        assert place in POINTS


def test_no_kind_of_wait_is_listed_that_there_is_not() -> None:
    assert set(KILLED_AT) == ABOUTS - KINDS


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_of_message_has_a_point_at_which_whoever_waits_for_it_dies(kind: str) -> None:
    assert re.search(rf"(Receive|Gather) {kind.upper()}$", POINTS, re.MULTILINE)


@pytest.mark.parametrize("action", sorted({action.__name__ for action in get_args(Action)} - WITHOUT_WAIT))
def test_each_action_of_a_party_has_a_point_before_and_one_after_it(action: str) -> None:
    for when in ("before", "after"):
        assert re.search(rf" {when} {action}( |$)", POINTS, re.MULTILINE), when


def test_a_wait_of_a_kind_that_is_not_listed_is_refused() -> None:
    with (
        pytest.raises(ValueError, match="a wait about 'weather'"),
        Waits().on(("beta",), "weather", "sun", time.monotonic()),
    ):
        pytest.fail("it was entered")
