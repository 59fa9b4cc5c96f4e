"""A holder and an asker over the in-memory channel."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from fedchain.alignment.cached import align_cached
from fedchain.alignment.psi import Aligned
from fedchain.alignment.shelf import MemoryCachedSets
from fedchain.compute.executor import Executor
from fedchain.protocol import Party
from fedchain.simulation.channel import Channel, Kills, Tap
from fedchain.types import PartyId

HOLDER, ASKER = PartyId("large"), PartyId("small")
EXECUTOR = Executor(n_jobs=1)
Wrap = Callable[[Party[Aligned]], Party[Aligned]]


class Pair:
    """Two parties that keep their cached sets from one job to the next."""

    def __init__(self) -> None:
        self.sets = {HOLDER: MemoryCachedSets(), ASKER: MemoryCachedSets()}
        self.channel = Channel()

    def party(
        self, me: PartyId, ids: Sequence[str], job: int, roster: Sequence[PartyId] = (HOLDER, ASKER), **options: Any
    ) -> Party[Aligned]:
        """One side's generator in a job."""
        salt = hashlib.sha256(b"job %d" % job).digest()
        settings: dict[str, Any] = {"min_rows": 1, "chunk_ids": 3, "cached_chunk_ids": 4} | options
        return align_cached(
            me,
            roster,
            ids,
            salt,
            holder=HOLDER,
            pair_key=lambda purpose: hashlib.sha256(salt + purpose).digest(),
            sets=self.sets[me],
            executor=EXECUTOR,
            **settings,
        )

    def run(
        self,
        large: Sequence[str],
        small: Sequence[str],
        job: int = 1,
        *,
        tap: Tap | None = None,
        kills: Kills | None = None,
        wrap: dict[PartyId, Wrap] | None = None,
        roster: Sequence[PartyId] = (HOLDER, ASKER),
        **options: Any,
    ) -> tuple[Aligned, Aligned]:
        """Both sides of a job: the holder's outcome, and the asker's."""
        self.channel = Channel(tap=tap, kills=kills)
        parties = {me: self.party(me, large if me == HOLDER else small, job, roster, **options) for me in roster}
        for me, change in (wrap or {}).items():
            parties[me] = change(parties[me])
        ended = self.channel.run(parties)
        return ended[HOLDER], ended[ASKER]
