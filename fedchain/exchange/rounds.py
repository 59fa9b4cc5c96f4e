"""What the chain has told of a job's rounds: which began with which attempt, and which were rolled back."""

from __future__ import annotations

from fedchain.chain.events import RoundBegan
from fedchain.errors import RoundRolledBackError


class Rounds:
    """Not thread-safe: the inbox's lock is held.

    In a strict job each round counts its own attempts. In a pipelined one the attempt is the job's: one that is higher
    than the last rolls a round back, and whatever had begun after it.

    Attributes:
        attempt: in force.
        last: the round that began last, 0 before the first.
    """

    def __init__(self, *, pipelined: bool) -> None:
        self._pipelined = pipelined
        self._begun: dict[int, int] = {}
        self._rolled_back: dict[int, int] = {}
        self.attempt = self.last = 0

    def begin(self, event: RoundBegan) -> bool:
        """Take note of a beginning; returns whether it rolls a round of a pipelined job back."""
        is_retry = self._pipelined and event.attempt > self.attempt
        if is_retry:
            self._rolled_back[event.attempt] = event.round
            self._begun = {round: attempt for round, attempt in self._begun.items() if round < event.round}
        self._begun[event.round] = event.attempt
        self.last = event.round
        self.attempt = event.attempt
        return is_retry

    def end(self) -> None:
        """Training is over: what comes is not tried again, and counts as attempt 0."""
        self._rolled_back, self.attempt = {}, 0

    @property
    def any_begun(self) -> bool:
        """Whether there was a first round."""
        return bool(self._begun)

    def begun(self, round: int) -> int | None:
        """With which attempt a round began last, None if it has not (since it was rolled back)."""
        return self._begun.get(round)

    def rolled_back_since(self, attempt: int) -> RoundRolledBackError | None:
        """Where a party has to start over that worked on an attempt last; None if nowhere.

        Returns:
            An error that names the earliest round that was rolled back since, and the attempt in force.
        """
        rounds = [round for tried, round in self._rolled_back.items() if tried > attempt]
        return RoundRolledBackError(min(rounds), self.attempt) if rounds else None
