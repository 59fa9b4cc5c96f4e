"""What ends the waits of a job: rejected uplinks, an aborted job, a closed request, two digests in one slot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fedchain.errors import FedchainError
from fedchain.types import REQUEST_BASE

ANY_ROUND = -1
"""Waits for this are ended by what ends the whole job, and by nothing else."""


@dataclass(frozen=True)
class _Failure:
    error: Callable[[], FedchainError]
    round: int | None
    lasting: bool


class Failures:
    """Not thread-safe: the inbox's lock is held. Errors are made when they are raised: they name parties."""

    def __init__(self) -> None:
        self._known: list[_Failure] = []

    def add(self, error: Callable[[], FedchainError], round: int | None, *, lasting: bool) -> None:
        """Take note of a failure.

        Args:
            error: makes it.
            round: whose work it ends; None for the whole job's.
            lasting: whether it also ends the work on rounds that begin later.
        """
        self._known.append(_Failure(error, round, lasting))

    def forget_passing(self) -> None:
        """A round begins: what was not lasting is over."""
        self._known = [one for one in self._known if one.lasting]

    def forget_round(self, round: int) -> None:
        """An inference request is over."""
        self._known = [one for one in self._known if one.round != round]

    def raise_for(self, round: int) -> None:
        """Raise the first failure that ends the work on a round, if there is one."""
        for one in self._known:
            if one.round is None or _same_work(one.round, round):
                raise one.error()


def _same_work(failed: int, waited: int) -> bool:
    """Whether a failure in one round ends work on another: training rounds belong together, requests do not."""
    if waited == ANY_ROUND:
        return False
    if failed >= REQUEST_BASE or waited >= REQUEST_BASE:
        return failed == waited
    return True
