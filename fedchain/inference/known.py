"""Which rows a party knows from a job's alignment, and which of the other parties hold each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.types import PartyId

TagsOf = Callable[[PartyId, int], bytes]
"""16 bytes per known row for a peer and an epoch (`Session.known_tags`)."""


@dataclass(frozen=True)
class KnownRows:
    """The rows that a party may ask or be asked for; positions count them from 0.

    Attributes:
        me, roster: names; the active party is first.
        ids: own spelling of each row's id: the aligned rows in their order, then partial ones.
        holders: (rows,) uint8: bit i is set where the roster's party i holds the row.
        tags_of: request tags of all rows for a peer and an epoch.
    """

    me: PartyId
    roster: tuple[PartyId, ...]
    ids: Sequence[str]
    holders: NDArray[np.uint8]
    tags_of: TagsOf

    def __len__(self) -> int:
        """Number of known rows."""
        return len(self.ids)

    def held_by(self, peer: PartyId) -> NDArray[np.bool_]:
        """(rows,) bool: which of the rows a peer holds, too."""
        held: NDArray[np.bool_] = (self.holders >> self.roster.index(peer) & 1).astype(np.bool_)
        return held

    @property
    def are_whole(self) -> NDArray[np.bool_]:
        """(rows,) bool: which rows all parties hold."""
        whole: NDArray[np.bool_] = self.holders == (1 << len(self.roster)) - 1
        return whole
