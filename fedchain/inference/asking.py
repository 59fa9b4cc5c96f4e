"""The requester's side: from ids to tags for each answerer; at the active party from answers to scores. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from fedchain.data.idarray import Ids
from fedchain.errors import DeadlineError
from fedchain.inference.bitplanes import Planes, Positions, as_planes, plane_bytes
from fedchain.inference.explanations import Explainer, Explanation
from fedchain.inference.fast_scoring import Margins, Scorer
from fedchain.inference.known import KnownRows
from fedchain.inference.leaf_table import LeafTable
from fedchain.messages.online import TAG_BYTES
from fedchain.model.leaf_mask import unpack_bits, whole_bits
from fedchain.model.link import predictions
from fedchain.model.shard import Shard
from fedchain.types import PartyId

Flags = NDArray[np.uint8]
_EXPLAINED_ROWS = 256
"""Rows that are explained at a time: their bits are held unpacked, a byte each."""


class Flag(IntFlag):
    """What a score does not rest on. 0: on every party's own bits.

    Attributes:
        MISSING_PARTY: some party does not hold the row; its default bits count.
        SILENT_PARTY: some party did not answer in time; its default bits count.
        UNKNOWN_ID: the requester or the active party does not hold the row; there is no score.
    """

    MISSING_PARTY = 1
    SILENT_PARTY = 2
    UNKNOWN_ID = 4


class Asking:
    """Which rows to ask for, and by which tags."""

    def __init__(self, known: KnownRows) -> None:
        """Index the ids."""
        self._known = known
        self._ids = Ids.of(known.ids)
        self._whole = known.are_whole
        self._held = {peer: known.held_by(peer) for peer in known.roster if peer != known.me}
        self._tags: dict[tuple[PartyId, int], NDArray[np.uint8]] = {}

    def positions(self, ids: Sequence[str]) -> Positions:
        """The known row of each canonical id, -1 where there is none: (ids,) int64."""
        return self._ids.find(ids)

    def prepare(self, peer: PartyId, epoch: int) -> None:
        """Make the tags for a peer and an epoch, about 1 µs per row, unless they are there."""
        if (peer, epoch) not in self._tags:
            raw = np.frombuffer(self._known.tags_of(peer, epoch), np.uint8)
            self._tags[peer, epoch] = raw.reshape(-1, TAG_BYTES)

    def forget_before(self, epoch: int) -> None:
        """Drop the tags of earlier epochs."""
        self._tags = {key: tags for key, tags in self._tags.items() if key[1] >= epoch}

    def tags(self, peer: PartyId, epoch: int, positions: Positions) -> bytes:
        """16 bytes per row for a peer: random ones for rows that it does not hold, and for position -1."""
        self.prepare(peer, epoch)
        chosen = np.frombuffer(os.urandom(TAG_BYTES * len(positions)), np.uint8).reshape(-1, TAG_BYTES).copy()
        if len(self._known):
            held = self._held[peer].take(positions, mode="wrap") & (positions >= 0)
            np.copyto(chosen, self._tags[peer, epoch].take(positions, axis=0, mode="wrap"), where=held[:, np.newaxis])
        return chosen.tobytes()

    def flags(self, positions: Positions) -> Flags:
        """(rows,) uint8: `UNKNOWN_ID` for position -1, `MISSING_PARTY` for rows that some party does not hold."""
        unknown = positions < 0
        missing = ~self._whole.take(positions, mode="wrap") if len(self._known) else np.ones(len(positions), np.bool_)
        flags: Flags = np.where(unknown, np.uint8(Flag.UNKNOWN_ID), missing * np.uint8(Flag.MISSING_PARTY))
        return flags


@dataclass(frozen=True)
class Scored:
    """What the active party makes of one ask.

    Attributes:
        margins: (rows, outputs) float64; not-a-number where the id is unknown.
        scores: predictions, shape (rows,), or (rows, classes) with several classes; not-a-number as above.
        flags: (rows,) uint8 of `Flag`.
        explanation: of the margins, where it was asked for; contributions are not-a-number as above.
    """

    margins: Margins
    scores: NDArray[np.float64]
    flags: Flags
    explanation: Explanation | None = None


class Combining:
    """The active party's side: joins the answers with its own bits. Safe to use from several threads.

    Attributes:
        scorer: of the model.
    """

    def __init__(self, shard: Shard, table: LeafTable) -> None:
        """Lay out the model.

        Args:
            shard: the active party's.
            table: its own leaf bits of all known rows.
        """
        self.scorer, self._explainer = Scorer(shard), Explainer(shard)
        self._shard, self._table = shard, table
        self._defaults: dict[str, bytes] = {}

    def learn_default(self, party: PartyId, bits: bytes) -> None:
        """Keep a party's default bits: what it answers, row by row, to one decoy.

        Raises:
            ProtocolViolationError: of the wrong length; names the party.
        """
        unpack_bits(bits, 1, self._count(party), party)
        self._defaults[party] = bits

    def knows_default(self, party: PartyId) -> bool:
        """Whether a party's silence can be made up for."""
        return party in self._defaults

    def combine(
        self,
        positions: Positions,
        flags: Flags,
        answers: Mapping[PartyId, bytes | None],
        *,
        planes: bool = False,
        explained: bool = False,
    ) -> Scored:
        """Scores of the rows.

        Args:
            positions: (rows,) of the active party's known rows, -1 where it does not hold the row.
            flags: of these rows (`Asking.flags`).
            answers: bits of every passive party in the form that `planes` says; None for one that did not answer.
            planes: which form.
            explained: whether to explain the margins; not with planes.

        Raises:
            ProtocolViolationError: bits out of shape, then their sender is named; or bits that contradict, then all
                passive parties are.
            DeadlineError: a party did not answer, and its default bits are not known; names it.
        """
        rows, roster = len(positions), self._shard.roster
        silent = [party for party in roster[1:] if answers[PartyId(party)] is None]
        unable = tuple(party for party in silent if party not in self._defaults)
        if unable:
            raise DeadlineError(f"no answer from {', '.join(unable)}, whose default bits are not known yet", unable)
        given = {party: answers[PartyId(party)] for party in roster[1:]}
        explanation = None
        if planes:
            own = [self._table.planes_at(positions)]
            margins = self.scorer.score_planes(own + [self._planes(one, given[one], rows) for one in roster[1:]], rows)
        else:
            packed = [self._table.rows_at(positions)]
            for party in roster[1:]:
                bits = given[party]
                packed.append(self._defaults[party] * rows if bits is None else bits)
            margins = self.scorer.score_rows(packed, rows)
            if explained:
                explanation = self._explained(packed, rows)
        flags = flags | np.uint8(Flag.SILENT_PARTY if silent else 0)
        scores = predictions(self._shard.objective, margins)
        unknown = (flags & Flag.UNKNOWN_ID) != 0
        margins[unknown], scores[unknown] = np.nan, np.nan
        if explanation is not None:
            explanation.contributions[unknown] = np.nan  # with the base they sum to the margin
        return Scored(margins, scores, flags, explanation)

    def _count(self, party: str) -> int:
        return self.scorer.bit_counts[self._shard.roster.index(party)]

    def _planes(self, party: str, raw: bytes | None, rows: int) -> Planes:
        count = self._count(party)
        if raw is not None:
            return as_planes(raw, rows, count, party)
        default = unpack_bits(self._defaults[party], 1, count, party)[0]
        every = np.packbits(np.ones(rows, np.bool_), bitorder="little")
        return np.where(default[:, np.newaxis], every, np.zeros(plane_bytes(rows), np.uint8))

    def _explained(self, packed: Sequence[bytes], rows: int) -> Explanation:
        widths = [len(raw) // max(1, rows) for raw in packed]
        parts = []
        for first in range(0, max(1, rows), _EXPLAINED_ROWS):
            last = min(first + _EXPLAINED_ROWS, rows)
            some = [raw[first * width : last * width] for raw, width in zip(packed, widths, strict=True)]
            parts.append(self._explainer.explain(self._whole(some, last - first)).contributions)
        return Explanation(self._explainer.base, np.concatenate(parts))

    def _whole(self, packed: Sequence[bytes], rows: int) -> list[NDArray[np.bool_]]:
        parties = enumerate(zip(self._shard.roster, packed, strict=True))
        return [
            whole_bits(self._shard, index, unpack_bits(raw, rows, self.scorer.bit_counts[index], party))
            for index, (party, raw) in parties
        ]
