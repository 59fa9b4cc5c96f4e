"""Whoever closes the turnstile is alone; nobody is left inside, nobody is let in."""

from __future__ import annotations

import threading

import pytest

from fedchain.chain.turnstile import Turnstile


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
