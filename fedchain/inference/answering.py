"""The answerer's side: from the tags of an ask to this party's packed leaf bits. Pure; no signature, no quota."""

from __future__ import annotations

import threading

import numpy as np

from fedchain.errors import AskError
from fedchain.inference.bitplanes import Positions
from fedchain.inference.known import KnownRows
from fedchain.inference.leaf_table import LeafTable
from fedchain.inference.lookup import TagTable
from fedchain.messages.online import MAX_ASK_ROWS, TAG_BYTES
from fedchain.types import PartyId


class Answers:
    """Answers asks of peers; safe to use from several threads.

    A tag that is not there gets the default row, of the same size, by the same steps.

    Attributes:
        table: the leaf bits of all known rows.
    """

    def __init__(self, known: KnownRows, table: LeafTable) -> None:
        """Hold what answers need.

        Args:
            known: the rows.
            table: their leaf bits, in the same order.

        Raises:
            ValueError: not of the same number of rows.
        """
        if len(known) != table.rows:
            raise ValueError(f"{len(known)} rows are known, the table has {table.rows}")
        self.table = table
        self._known = known
        self._lock = threading.Lock()
        self._tables: dict[tuple[PartyId, int], TagTable] = {}

    def prepare(self, requester: PartyId, epoch: int) -> None:
        """Make the tags of a peer and an epoch, about 1 µs per row, unless they are there.

        Raises:
            AskError: the peer is not another party of the roster.
        """
        if requester == self._known.me or requester not in self._known.roster:
            raise AskError(requester, "is no other party of the job, and may not ask")
        if (requester, epoch) in self._tables:
            return
        rows = np.flatnonzero(self._known.held_by(requester)).astype(np.int64)
        raw = self._known.tags_of(requester, epoch)
        tags = np.frombuffer(raw, np.uint8).reshape(-1, TAG_BYTES)[rows]
        table = TagTable(tags.tobytes(), rows)
        with self._lock:
            self._tables[requester, epoch] = table

    def forget_before(self, epoch: int) -> None:
        """Drop the tags of earlier epochs."""
        with self._lock:
            self._tables = {key: table for key, table in self._tables.items() if key[1] >= epoch}

    def positions(self, requester: PartyId, tags: bytes, epoch: int) -> Positions:
        """The known row of each tag, -1 where there is none: (rows,) int64.

        Raises:
            AskError: none, too many or half a tag, or tags of an epoch that was not prepared; names the requester.
        """
        if not tags or len(tags) % TAG_BYTES or len(tags) > TAG_BYTES * MAX_ASK_ROWS:
            raise AskError(requester, f"asks with {len(tags)} bytes of tags: 1 to {MAX_ASK_ROWS} tags of 16 may come")
        table = self._tables.get((requester, epoch))
        if table is None:
            raise AskError(requester, f"asks with tags of epoch {epoch}, which is not in force")
        return table.find(tags)

    def answer(self, requester: PartyId, tags: bytes, planes: bool = False, *, epoch: int = 0) -> bytes:
        """This party's leaf bits of the rows asked for; for the active party alone, which alone may see them.

        What is sealed to the active party may be made for whoever asks, from `positions` and `table`.

        Args:
            requester: who asks.
            tags: 16 bytes per row.
            planes: leaf after leaf instead of row after row.
            epoch: of the tags; must be prepared.

        Raises:
            AskError: a passive party asks; or as `positions`.
        """
        if requester != self._known.roster[0]:
            raise AskError(requester, "asks for leaf bits, which the active party alone may see")
        positions = self.positions(requester, tags, epoch)
        elsewhere = np.frombuffer(tags, "<u8")[::2]
        if planes:
            return self.table.planes_at(positions, elsewhere).tobytes()
        return self.table.rows_at(positions, elsewhere)
