"""What is counted of requests by id: how much, how long, and whom; no ids, and nothing of what an answerer found."""

from __future__ import annotations

from typing import Protocol


class Meter(Protocol):
    """Is told, in any thread; must return quickly."""

    def on_asked(self, rows: int, seconds: float, outcome: str) -> None:
        """A request of this node is over: `scored`, `silent` (a party's default bits count), or `failed`."""

    def on_answered(self, rows: int, seconds: float, requester: str) -> None:
        """This node has answered an ask of a party."""

    def on_bad_answer(self, party: str) -> None:
        """A party's answer did not hold: its receipt, its size, or its bits."""


class NoMeter:
    """Counts nothing."""

    def on_asked(self, rows: int, seconds: float, outcome: str) -> None:
        """Not counted."""

    def on_answered(self, rows: int, seconds: float, requester: str) -> None:
        """Not counted."""

    def on_bad_answer(self, party: str) -> None:
        """Not counted."""
