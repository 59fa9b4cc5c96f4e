"""Whoever closes the turnstile is alone; nobody is left inside, nobody is let in."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fedchain.chain.turnstile import Turnstile
from fedchain.errors import ChainError


def test_many_are_inside_at_once() -> None:
    turnstile = Turnstile()
    with turnstile.passing(), turnstile.passing():
        pass


def test_whoever_closes_it_waits_for_those_inside_and_holds_back_those_who_come() -> None:
    turnstile, order = Turnstile(), list[str]()
    leave, closing, reopen = threading.Event(), threading.Event(), threading.Event()

    def inside() -> None:
        with turnstile.passing():
            leave.wait(10)
            order.append("left")

    def close() -> None:
        closing.set()
        with turnstile.closed():
            order.append("alone")
            reopen.wait(10)
            order.append("open")

    def comes() -> None:
        with turnstile.passing():
            order.append("in")

    first, closer, late = (threading.Thread(target=one) for one in (inside, close, comes))
    first.start()
    while not turnstile._inside:
        pass
    closer.start()
    closing.wait(10)
    while not turnstile._is_closed:
        pass
    late.start()
    late.join(0.05)
    assert order == []
    leave.set()
    first.join(10)
    late.join(0.05)
    assert order == ["left", "alone"]
    reopen.set()
    late.join(10)
    closer.join(10)
    assert order == ["left", "alone", "open", "in"]


def test_it_opens_again_after_an_error() -> None:
    turnstile = Turnstile()
    with pytest.raises(ValueError, match="lost"), turnstile.closed():
        raise ValueError("lost")
    with pytest.raises(ValueError, match="lost"), turnstile.passing():
        raise ValueError("lost")
    with turnstile.closed(), pytest.raises(ValueError, match="inside"):
        raise ValueError("inside")


def test_whoever_waits_for_a_closed_turnstile_is_seen_and_gives_up() -> None:
    turnstile, watched = Turnstile(), list[str]()

    @contextmanager
    def watch() -> Iterator[None]:
        watched.append("begun")
        yield
        watched.append("over")

    with turnstile.passing(10.0, watch):
        assert watched == []
    with turnstile.closed(), pytest.raises(ChainError, match="takes too long"), turnstile.passing(0.01, watch):
        pytest.fail("it is closed")
    assert watched == ["begun"]
    with turnstile.passing(10.0, watch):
        assert turnstile._inside == 1
