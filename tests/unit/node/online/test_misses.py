"""Whether a row is there shows neither in an answer's size nor in its time: a statistical test, and a test of that.

Hits and misses take turns, so that what else the machine does falls on both; their times are compared by ranks
(Mann and Whitney 1947), where a few slow ones count no more than any other.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fedchain.inference.answering import Answers
from fedchain.inference.known import KnownRows
from fedchain.inference.leaf_table import LeafTable
from fedchain.messages.online import TAG_BYTES
from fedchain.types import PartyId
from tests.unit.inference.models import N_BINS, full_model, some_bins

ROWS, PAIRS, ALARM = 20_000, 4000, 4.5
"""A difference of 4.5 standard deviations comes by chance once in 150,000 times; with one retry, less often still."""

ACTIVE = PartyId("a")
Ask = Callable[[bytes], object]


@pytest.fixture(scope="module")
def tags() -> bytes:
    return np.random.default_rng(3).bytes(TAG_BYTES * ROWS)


@pytest.fixture(scope="module", params=[True, False], ids=["looked up", "computed"])
def answers(request: pytest.FixtureRequest, tags: bytes) -> Answers:
    """A passive party's, of 50 trees of depth 5; a table that is too large is computed for each ask."""
    random = np.random.default_rng(2)
    shard = full_model(random, 50, 5)[1]
    roster = tuple(PartyId(one) for one in shard.roster)
    holders = np.full(ROWS, 7, np.uint8)
    known = KnownRows(PartyId("b"), roster, [str(row) for row in range(ROWS)], holders, lambda peer, epoch: tags)
    table = LeafTable(shard, some_bins(random, ROWS), N_BINS, max_bytes=2**40 if request.param else 0)
    one = Answers(known, table)
    one.prepare(ACTIVE, 0)
    return one


def difference(ask: Ask, hits: list[bytes], misses: list[bytes]) -> float:
    """How many standard deviations the ranks of hits' and misses' times lie apart."""
    times = np.empty((len(hits), 2))
    order = np.random.default_rng(int.from_bytes(os.urandom(4), "big")).random(len(hits)) < 0.5
    for place, (hit, miss, hit_first) in enumerate(zip(hits, misses, order.tolist(), strict=True)):
        for column in (0, 1) if hit_first else (1, 0):
            question = miss if column else hit
            begun = time.perf_counter_ns()
            ask(question)
            times[place, column] = time.perf_counter_ns() - begun
    return _z(times[:, 0], times[:, 1])


def _z(some: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    joined = np.concatenate([some, others])
    values, back, counts = np.unique(joined, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[back.reshape(-1)]
    n, m = len(some), len(others)
    u = ranks[:n].sum() - n * (n + 1) / 2
    ties = ((counts**3 - counts) / ((n + m) * (n + m - 1))).sum()
    assert len(values) > 1
    return float(abs(u - n * m / 2) / math.sqrt(n * m / 12 * (n + m + 1 - ties)))


def questions(tags: bytes, pairs: int, rows: int = 1) -> tuple[list[bytes], list[bytes]]:
    """Hits and misses, each a new object: where in memory a question lies must not tell it from another."""
    each = np.frombuffer(tags, np.uint8).reshape(-1, TAG_BYTES)
    hits, misses = [], []
    for chosen in np.random.default_rng(5).integers(0, ROWS, (pairs, rows)):
        hits.append(each[chosen].tobytes())
        misses.append(np.frombuffer(os.urandom(TAG_BYTES * rows), np.uint8).tobytes())
    return hits, misses


@pytest.mark.parametrize("rows", [1, 8])
def test_a_miss_takes_the_time_and_the_size_of_a_hit(answers: Answers, tags: bytes, rows: int) -> None:
    def ask(question: bytes) -> bytes:
        return answers.answer(ACTIVE, question)

    hits, misses = questions(tags, PAIRS // rows, rows)
    assert {len(ask(one)) for one in hits} == {len(ask(one)) for one in misses}  # from here on all are warm
    if difference(ask, hits, misses) > ALARM:
        found = difference(ask, hits, misses)
        assert found < ALARM, f"{found:.1f} standard deviations apart, twice"


def test_the_test_tells_a_miss_that_is_a_tenth_quicker(answers: Answers, tags: bytes) -> None:
    there = {tags[TAG_BYTES * row : TAG_BYTES * (row + 1)] for row in range(ROWS)}

    def leaky(question: bytes) -> None:
        answers.answer(ACTIVE, question)
        if question in there:  # a look-up that only hits need
            until = time.perf_counter_ns() + 5000
            while time.perf_counter_ns() < until:
                pass

    hits, misses = questions(tags, PAIRS)
    assert difference(leaky, hits, misses) > ALARM
