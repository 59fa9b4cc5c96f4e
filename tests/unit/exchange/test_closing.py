from __future__ import annotations

import threading

import pytest

from fedchain.errors import DeadlineError
from fedchain.exchange.closing import Closing


def test_it_closes_while_its_caller_goes_on_and_then_does_what_follows_in_order() -> None:
    may_close, done = threading.Event(), list[str]()

    def close() -> None:
        assert may_close.wait(10)
        done.append("closed")

    closing = Closing(close)
    closing.then(lambda: done.append("first"))
    closing.then(lambda: done.append("second"))
    assert done == []
    may_close.set()
    closing.wait()
    assert done == ["closed", "first", "second"]


def test_what_follows_is_left_undone_where_closing_fails_and_the_failure_is_told_to_whoever_waits() -> None:
    done: list[str] = []

    def close() -> None:
        raise DeadlineError("no verdict", ("beta",))

    closing = Closing(close)
    closing.then(lambda: done.append("a checkpoint"))
    with pytest.raises(DeadlineError, match="no verdict"):
        closing.wait()
    assert done == []


def test_one_that_is_given_up_does_nothing_more() -> None:
    may_close, done = threading.Event(), list[str]()
    closing = Closing(lambda: done.append("closed") if may_close.wait(10) else None)
    closing.then(lambda: done.append("a checkpoint"))
    closing.end(0.01)  # under way: not waited for longer than that
    assert done == []
    may_close.set()
    closing.end(10)
    assert done == ["closed"]
