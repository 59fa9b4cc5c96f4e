"""The robust score is the contract's, to the last unit."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.script.report.deployed import encode
from fedchain.anomaly.robust import MAX_E6, MAX_SCORE_E6, MIN_VALUES, WINDOW, is_outlier, score_e6
from fedchain.chain.abi import constructor_data, function
from fedchain.chain.account import Account
from fedchain.chain.client import ChainClient
from fedchain.chain.embedded_chain import EmbeddedChain
from fedchain.chain.inprocess import InProcessTransport
from fedchain.chain.sender import Sender
from fedchain.chain.transaction import Call


class Policy:
    """The contract, alone on a chain."""

    def __init__(self) -> None:
        self.client = ChainClient(InProcessTransport(EmbeddedChain()))
        call = Call("deployment", None, constructor_data("AnomalyPolicy"))
        self.address = Sender(self.client, Account.create()).transact(call).contract_address

    def read(self, method: str, *arguments: object) -> tuple[object, ...]:
        data = "0x" + encode("AnomalyPolicy", method, *arguments).hex()
        found = function("AnomalyPolicy", method).decode(self.client.call({"to": self.address, "data": data}))
        return tuple(found)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy()


SMALL = st.integers(0, 40)
ANY = st.one_of(SMALL, st.integers(10_000_000, 25_000_000), st.integers(0, MAX_E6))


@settings(max_examples=60, deadline=None)
@given(values=st.one_of(st.lists(SMALL, max_size=WINDOW), st.lists(ANY, min_size=7, max_size=WINDOW)), x=ANY)
def test_the_score_is_the_contracts(policy: Policy, values: list[int], x: int) -> None:
    score = score_e6(values, x)
    assert policy.read("isOutlier", values, x) == (is_outlier(score), score)


def test_window_and_bounds_are_the_contracts(policy: Policy) -> None:
    assert policy.read("window") == (WINDOW,)
    flat = [1_000_000] * MIN_VALUES
    edge = next(x for x in range(1_000_000, 1_200_000) if is_outlier(score_e6(flat, x)))
    assert score_e6(flat, edge - 1) <= MAX_SCORE_E6
    assert policy.read("isOutlier", flat, edge)[0] is True
    assert policy.read("isOutlier", flat, edge - 1)[0] is False


@given(values=st.lists(st.integers(0, 10**9), min_size=MIN_VALUES, max_size=WINDOW), x=st.integers(0, 10**9))
def test_the_score_is_that_of_its_definition(values: list[int], x: int) -> None:
    median = statistics.median(values)
    mad = statistics.median(abs(value - median) for value in values)
    wide = max(mad, median / 100)
    if wide == 0:
        assert score_e6(values, x) == (0 if x == median else MAX_E6)
    else:
        assert score_e6(values, x) == pytest.approx(674_500 * abs(x - median) / wide, rel=1e-9, abs=1.0)


def test_few_values_give_no_score_and_too_many_are_refused() -> None:
    assert score_e6([5] * (MIN_VALUES - 1), 10**9) == 0
    with pytest.raises(ValueError, match="32 values, not 33"):
        score_e6([5] * 33, 5)
    with pytest.raises(ValueError, match="unsigned 64-bit"):
        score_e6([], -1)
