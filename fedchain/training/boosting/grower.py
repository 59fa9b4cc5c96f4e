"""Grows one tree at the active party, level by level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ForgedHistogramError
from fedchain.messages import Split
from fedchain.messages.training import SplitNode
from fedchain.model.shard import OwnSplit, Tree, TreeShape
from fedchain.protocol import Party, Send
from fedchain.training.boosting import steps
from fedchain.training.boosting.histogram import plain_histogram
from fedchain.training.boosting.params import BoostingParams
from fedchain.training.boosting.partition import Masks, Place, Sealing, exchange_partitions
from fedchain.training.boosting.plan import TreePlan
from fedchain.training.boosting.received import NodeHistogram, Opener, ReceivedHistograms
from fedchain.training.boosting.splitting import Candidate, Layout, Regularisation, best_split
from fedchain.training.boosting.tree import Rows, children_rows, goes_left, parent, sibling, summed_nodes
from fedchain.types import PartyId

Mask = NDArray[np.bool_]
Integers = NDArray[np.int64]


@dataclass
class Grown:
    """A tree without weights.

    Attributes:
        owners: roster index per node, -1 for leaves.
        covers: sampled rows per node.
        leaves: routed rows per leaf.
        splits: the active party's own.
    """

    owners: dict[int, int] = field(default_factory=dict)
    covers: dict[int, int] = field(default_factory=dict)
    leaves: dict[int, Rows] = field(default_factory=dict)
    splits: list[OwnSplit] = field(default_factory=list)

    def tree(self, weights: tuple[float, ...], output: int) -> Tree:
        """With weights per leaf, ascending by node id."""
        ordered = tuple(sorted(self.owners))
        return Tree(
            TreeShape(ordered, tuple(self.owners[node] for node in ordered)),
            tuple(sorted(self.splits, key=lambda one: one.node)),
            tuple(self.covers[node] for node in ordered),
            weights,
            output,
        )


@dataclass
class Grower:
    """One tree of one round.

    Attributes:
        me, roster, bins, layout, params, plan: as in `ActiveTrainer`.
        round, output: which round, and which of its trees.
        rules: regularisation.
        used: which own features take part.
        values_q: shape (aligned rows, 2): integer gradients and hessians; zero for rows that do not enter.
        scales: integer value per unit of gradient and of hessian.
        sampled: which aligned rows enter histograms.
        opener: decrypts this output's columns.
        sealing: of the job.
    """

    me: PartyId
    roster: tuple[PartyId, ...]
    bins: NDArray[np.uint8]
    layout: Layout
    params: BoostingParams
    plan: TreePlan
    round: int
    output: int
    rules: Regularisation
    used: Mask
    values_q: Integers
    scales: tuple[float, float]
    sampled: Mask
    opener: Opener
    sealing: Sealing

    def __post_init__(self) -> None:
        self._received = ReceivedHistograms(self.values_q, self.sampled, self.opener)
        self._own: dict[int, tuple[Integers, Integers]] = {}
        offsets = self.layout.offsets
        self._in_use = np.concatenate(
            [np.full(offsets[i + 1] - offsets[i], use) for i, use in enumerate(self.used)] or [np.zeros(0, dtype=bool)]
        ).astype(bool)

    def grow(self, routed: Rows) -> Party[Grown]:
        """Grow the tree over the routed rows.

        Raises:
            ForgedHistogramError: announced rows contradict a decrypted histogram; names the owner.
            ProtocolViolationError: a peer sent something out of shape; names it.
        """
        grown, rows = Grown(), {0: routed}
        waiting: dict[int, Rows] = {}  # top nodes without a split, for the active party to try
        for level in range(self.params.depth):
            if 0 in self.plan.levels[level]:
                rows, waiting = rows | waiting, {}
            if not rows:
                continue
            decisions, candidates = yield from self._decide(level, rows)
            left = self._own_masks(rows, decisions)
            grown.splits += [
                OwnSplit(node, one.feature, one.bin, one.missing_left)
                for node, one in decisions.items()
                if one.owner == 0
            ]
            step = steps.partition(self.output, self.params.depth, level)
            place = Place(self.round, self.output, level, step, self.plan.shared)
            left = yield from exchange_partitions(self.me, self.roster, place, rows, decisions, left, self.sealing)
            self._check_left_sums(rows, left, decisions, candidates)
            for node, decision in decisions.items():
                if decision.owner < 0 and self.plan.hands_down(level):
                    waiting[node] = rows[node]
                else:
                    self._note(grown, node, decision.owner, rows[node])
            rows = children_rows(rows, decisions, left)
        for node, members in rows.items():
            self._note(grown, node, -1, members)
        return grown

    def _note(self, grown: Grown, node: int, owner: int, members: Rows) -> None:
        grown.owners[node] = owner
        grown.covers[node] = int(self.sampled[members].sum())
        if owner < 0:
            grown.leaves[node] = members

    def _decide(self, level: int, rows: Mapping[int, Rows]) -> Party[tuple[dict[int, SplitNode], dict[int, Candidate]]]:
        """Best split of every open node over the competitors; the earlier party on the roster wins ties."""
        passive = self.plan.passive_at(level)
        received: dict[PartyId, dict[int, NodeHistogram]] = {}
        if passive:
            step = steps.histogram(self.output, self.params.depth, level)
            received = yield from self._received.gather_level(step, rows, [self.roster[index] for index in passive])
        own = self._own_histograms(rows) if 0 in self.plan.levels[level] else {}
        decisions: dict[int, SplitNode] = {}
        candidates: dict[int, Candidate] = {}
        for node in sorted(rows):
            best: Candidate | None = None
            owner = -1
            if own:
                sums, counts = own[node]
                best, owner = best_split(sums, self.layout, self.scales, self.rules, counts), 0
            for index in passive:
                histogram = received[self.roster[index]][node]
                candidate = best_split(histogram.sums, histogram.layout, self.scales, self.rules)
                if candidate is not None and (best is None or candidate.gain > best.gain):
                    best, owner = candidate, index
            if best is None:
                decisions[node] = SplitNode(node, -1, -1, -1, False)
            else:
                decisions[node] = SplitNode(node, owner, best.feature, best.bin, best.missing_left)
                candidates[node] = best
        if passive:
            message = Split(tuple(_announced(decisions[node]) for node in sorted(decisions)))
            step = steps.split(self.output, self.params.depth, level)
            for recipient in [None] if self.plan.shared else [self.roster[index] for index in passive]:
                yield Send(message, step, recipient)
        return decisions, candidates

    def _own_histograms(self, rows: Mapping[int, Rows]) -> dict[int, tuple[Integers, Integers]]:
        """Own sums and row counts of every open node; the larger sibling by subtraction where the parent is known."""
        inside = {node: members[self.sampled[members]] for node, members in rows.items()}
        direct = set(rows)
        if self._own:  # else this is the first level at which the active party competes, and siblings may be gone
            direct = set(summed_nodes({node: len(members) for node, members in inside.items()}))
        result: dict[int, tuple[Integers, Integers]] = {}
        for node in direct:
            result[node] = plain_histogram(self.bins, inside[node], self.values_q, self.layout)
            for column in result[node]:
                column[~self._in_use] = 0
        for node in set(rows) - direct:
            (sums, counts), (less, fewer) = self._own[parent(node)], result[sibling(node)]
            result[node] = (sums - less, counts - fewer)
        self._own = result
        return result

    def _own_masks(self, rows: Mapping[int, Rows], decisions: Mapping[int, SplitNode]) -> Masks:
        return {
            node: goes_left(
                self.bins[rows[node], one.feature], one.bin, self.layout.n_bins[one.feature], one.missing_left
            )
            for node, one in decisions.items()
            if one.owner == 0
        }

    def _check_left_sums(
        self,
        rows: Mapping[int, Rows],
        left: Masks,
        decisions: Mapping[int, SplitNode],
        candidates: Mapping[int, Candidate],
    ) -> None:
        """The announced left rows must sum to exactly what the winning histogram said."""
        for node, mask in left.items():
            members = rows[node][mask]
            sums = self.values_q[members[self.sampled[members]]].sum(axis=0)
            if (int(sums[0]), int(sums[1])) != candidates[node].left:
                raise ForgedHistogramError(
                    self.roster[decisions[node].owner],
                    f"rows announced left of node {node} do not sum to its decrypted histogram",
                )


def _announced(decision: SplitNode) -> SplitNode:
    """What others are told: the active party's own feature and bin stay with it."""
    if decision.owner > 0:
        return decision
    return SplitNode(decision.node, decision.owner, -1, -1, False)
