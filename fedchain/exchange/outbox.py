"""A sender's outbox in the node's state file."""

from __future__ import annotations

from fedchain.chain import Signed
from fedchain.chain.outbox import KEPT_SETTLED
from fedchain.exchange.state import NodeState

_TABLE = """
CREATE TABLE IF NOT EXISTS outbox (account TEXT, nonce INTEGER, sequence INTEGER, hash BLOB NOT NULL, raw BLOB NOT NULL,
    what TEXT NOT NULL, gas INTEGER NOT NULL, gas_price TEXT NOT NULL, is_settled INTEGER NOT NULL,
    PRIMARY KEY (account, nonce, sequence)) WITHOUT ROWID
"""
_SELECT = "SELECT nonce, hash, raw, what, gas, gas_price FROM outbox WHERE account = ?"
_ORDER = " ORDER BY nonce, sequence"


class NodeOutbox:
    """`Outbox` of one account; on the chain that the state file belongs to.

    A transaction is synced to the disk before `put` returns; that it is settled is not: the chain tells it again.

    Args:
        state: the node's state file; its folder is locked, so that one process at a time uses the key.
        account: the sender's address.
    """

    def __init__(self, state: NodeState, account: str) -> None:
        self._state = state
        self._account = account
        with state.transaction() as db:
            db.execute(_TABLE)

    def put(self, transaction: Signed) -> None:
        """See `Outbox`."""
        with self._state.transaction() as db:
            (sequence,) = db.execute(
                "SELECT COALESCE(MAX(sequence), -1) + 1 FROM outbox WHERE account = ? AND nonce = ?",
                (self._account, transaction.nonce),
            ).fetchone()
            db.execute(
                "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (
                    self._account,
                    transaction.nonce,
                    sequence,
                    transaction.tx_hash,
                    transaction.raw,
                    transaction.what,
                    transaction.gas,
                    str(transaction.gas_price),  # wei exceed SQLite's integers
                ),
            )

    def withdraw(self, transaction: Signed) -> None:
        """See `Outbox`."""
        with self._state.transaction(synced=False) as db:
            db.execute(
                "DELETE FROM outbox WHERE account = ? AND nonce = ? AND hash = ?",
                (self._account, transaction.nonce, transaction.tx_hash),
            )

    def settle(self, nonce: int) -> None:
        """See `Outbox`."""
        with self._state.transaction(synced=False) as db:
            db.execute("UPDATE outbox SET is_settled = 1 WHERE account = ? AND nonce = ?", (self._account, nonce))
            db.execute(
                "DELETE FROM outbox WHERE account = ? AND nonce <= ? AND is_settled = 1",
                (self._account, nonce - KEPT_SETTLED),
            )

    def pending(self) -> list[Signed]:
        """See `Outbox`."""
        return self._read(_SELECT + " AND is_settled = 0" + _ORDER, self._account)

    def recorded(self, first_nonce: int) -> list[Signed]:
        """See `Outbox`."""
        return self._read(_SELECT + " AND nonce >= ?" + _ORDER, self._account, first_nonce)

    def next_nonce(self) -> int:
        """See `Outbox`."""
        with self._state.reading() as db:
            query = "SELECT COALESCE(MAX(nonce), -1) + 1 FROM outbox WHERE account = ?"
            return int(db.execute(query, (self._account,)).fetchone()[0])

    def _read(self, query: str, *values: object) -> list[Signed]:
        with self._state.reading() as db:
            rows = db.execute(query, values).fetchall()
        return [
            Signed(nonce, bytes(tx_hash), bytes(raw), what, gas, int(price))
            for nonce, tx_hash, raw, what, gas, price in rows
        ]
