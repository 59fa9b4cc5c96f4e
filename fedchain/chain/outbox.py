"""Where a sender records its transactions, so that none is lost and none is sent twice."""

from __future__ import annotations

import threading
from typing import Protocol

from fedchain.chain.transaction import Signed

KEPT_SETTLED = 256
"""Transactions that an outbox keeps after they were mined: a chain that forgets their blocks gets them again."""


class Outbox(Protocol):
    """One account's transactions on one chain. Every method is safe to call from several threads.

    A nonce holds several transactions when one was replaced by a dearer one; at most one of them is ever mined.
    """

    def put(self, transaction: Signed) -> None:
        """Record a transaction: when this returns, neither a killed process nor a power failure loses it."""

    def withdraw(self, transaction: Signed) -> None:
        """Forget one that no node has, nor ever will: it was refused, or its nonce is another's for good."""

    def settle(self, nonce: int) -> None:
        """One with this nonce is mined. It stays recorded, as the last `KEPT_SETTLED` do."""

    def pending(self) -> list[Signed]:
        """All that are not settled, by nonce, then in the order in which they were recorded."""

    def recorded(self, first_nonce: int) -> list[Signed]:
        """All from a nonce on, settled or not, in the same order."""

    def next_nonce(self) -> int:
        """One above the highest recorded nonce, 0 when nothing is recorded."""


class MemoryOutbox:
    """An outbox that ends with the process: for commands that a person runs, and runs again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transactions: dict[int, list[Signed]] = {}
        self._settled: set[int] = set()

    def put(self, transaction: Signed) -> None:
        """See `Outbox`."""
        with self._lock:
            self._transactions.setdefault(transaction.nonce, []).append(transaction)

    def withdraw(self, transaction: Signed) -> None:
        """See `Outbox`."""
        with self._lock:
            kept = [one for one in self._transactions.get(transaction.nonce, []) if one != transaction]
            if kept:
                self._transactions[transaction.nonce] = kept
            else:
                self._transactions.pop(transaction.nonce, None)

    def settle(self, nonce: int) -> None:
        """See `Outbox`."""
        with self._lock:
            self._settled.add(nonce)
            for old in [one for one in self._settled if one <= nonce - KEPT_SETTLED]:
                self._settled.discard(old)
                self._transactions.pop(old, None)

    def pending(self) -> list[Signed]:
        """See `Outbox`."""
        return [one for one in self.recorded(0) if one.nonce not in self._settled]

    def recorded(self, first_nonce: int) -> list[Signed]:
        """See `Outbox`."""
        with self._lock:
            return [
                one for nonce in sorted(self._transactions) if nonce >= first_nonce for one in self._transactions[nonce]
            ]

    def next_nonce(self) -> int:
        """See `Outbox`."""
        with self._lock:
            return max(self._transactions, default=-1) + 1
