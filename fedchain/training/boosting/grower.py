"""Grows one tree at the active party, level by level or leaf by leaf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from fedchain.training.boosting.tree import Rows, children_rows, goes_left, level_of, parent, sibling, summed_nodes
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
        gains: of all splits, by the roster index of their owner.
    """

    owners: dict[int, int] = field(default_factory=dict)
    covers: dict[int, int] = field(default_factory=dict)
    leaves: dict[int, Rows] = field(default_factory=dict)
    splits: list[OwnSplit] = field(default_factory=list)
    gains: dict[int, float] = field(default_factory=dict)

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


@dataclass(frozen=True)
class Found:
    """Best split of a node, and who has it; false where there is none."""

    owner: int
    split: Candidate | None

    @property
    def gain(self) -> float:
        """Of the split; 0 where there is none."""
        return 0.0 if self.split is None else self.split.gain

    def __bool__(self) -> bool:
        return self.split is not None


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
        for level in range(self.plan.level_wise):
            if 0 in self.plan.levels[level]:
                rows, waiting = rows | waiting, {}
            if not rows:
                continue
            found = yield from self._find(level, level, rows)
            yield from self._announce(level, level, {node: _decision(node, one) for node, one in found.items()})
            children = yield from self._split(grown, level, rows, found)
            for node, members in rows.items():
                if node in grown.owners:
                    continue
                if self.plan.hands_down(level):
                    waiting[node] = members
                else:
                    self._note(grown, node, -1, members)
            rows = children
        if self.plan.level_wise < self.params.depth:
            rows = yield from self._grow_leaf_wise(grown, rows | waiting)
        for node, members in rows.items():
            self._note(grown, node, -1, members)
        return grown

    def _grow_leaf_wise(self, grown: Grown, fresh: dict[int, Rows]) -> Party[dict[int, Rows]]:
        """Split the open leaf of the highest gain until there are leaves enough; returns the leaves' rows.

        Ties go to the node that was opened first.
        """
        level = turn = self.plan.level_wise  # the same parties compete at all levels from here on
        room = self.params.most_leaves - len(grown.leaves) - len(fresh)
        opened: dict[int, Rows] = {}
        found: dict[int, Found] = {}
        leaves: dict[int, Rows] = {}
        while room > 0:
            leaves |= {node: members for node, members in fresh.items() if level_of(node) >= self.params.depth}
            fresh = {node: members for node, members in fresh.items() if node not in leaves}
            if fresh:
                found |= yield from self._find(turn, level, fresh)
                opened, fresh = opened | fresh, {}
            if not opened:
                break
            best = max((node for node in opened if found[node]), key=lambda node: found[node].gain, default=None)
            chosen = {} if best is None else {best: found[best]}
            yield from self._announce(turn, level, {node: _decision(node, one) for node, one in chosen.items()})
            if best is None:
                break
            fresh = yield from self._split(grown, turn, {best: opened.pop(best)}, chosen)
            room, turn = room - 1, turn + 1
        return leaves | opened | fresh

    def _note(self, grown: Grown, node: int, owner: int, members: Rows) -> None:
        grown.owners[node] = owner
        grown.covers[node] = int(self.sampled[members].sum())
        if owner < 0:
            grown.leaves[node] = members

    def _find(self, turn: int, level: int, rows: Mapping[int, Rows]) -> Party[dict[int, Found]]:
        """Best split of every node over the competitors; the earlier party on the roster wins ties."""
        passive = self.plan.passive_at(level)
        own = self._own_splits(rows) if 0 in self.plan.levels[level] else {}  # while the others sum theirs
        received: dict[PartyId, dict[int, NodeHistogram]] = {}
        if passive:
            step = steps.histogram(self.output, self.params.turns, turn)
            received = yield from self._received.gather_nodes(step, rows, [self.roster[index] for index in passive])
            yield from self._watch(step, received)
        found: dict[int, Found] = {}
        for node in sorted(rows):
            best = own.get(node, Found(-1, None))
            for index in passive:
                histogram = received[self.roster[index]][node]
                candidate = best_split(histogram.sums, histogram.layout, self.scales, self.rules)
                if candidate is not None and candidate.gain > best.gain:
                    best = Found(index, candidate)
            found[node] = best
        self._forget([node for node in rows if not found[node] or level_of(node) + 1 >= self.params.depth])
        return found

    def _watch(self, step: int, received: Mapping[PartyId, Mapping[int, NodeHistogram]]) -> Party[None]:
        """Have root histograms looked at, and flagged where they are unlike those before them."""
        watch = self.opener.watch
        if watch is None:
            return
        for party, histograms in received.items():
            root = histograms.get(0)
            if root is not None and root.layout.total:
                flag = watch.root(party, step, self.output, root.sums[:, 0] / self.scales[0], root.layout.cuts)
                if flag is not None:
                    yield flag

    def _forget(self, nodes: Sequence[int]) -> None:
        """Histograms are kept for those of children alone: a tree of many leaves would hold as many of them."""
        self._received.forget(nodes)
        for node in nodes:
            self._own.pop(node, None)

    def _announce(self, turn: int, level: int, decisions: Mapping[int, SplitNode]) -> Party[None]:
        passive = self.plan.passive_at(level)
        if not passive:
            return
        message = Split(tuple(_announced(decisions[node]) for node in sorted(decisions)))
        step = steps.split(self.output, self.params.turns, turn)
        for recipient in [None] if self.plan.shared else [self.roster[index] for index in passive]:
            yield Send(message, step, recipient)

    def _split(
        self, grown: Grown, turn: int, rows: Mapping[int, Rows], found: Mapping[int, Found]
    ) -> Party[dict[int, Rows]]:
        """Split the nodes for which a split was found; returns their children's rows."""
        decisions = {node: _decision(node, one) for node, one in found.items()}
        left = self._own_masks(rows, decisions)
        step = steps.partition(self.output, self.params.turns, turn)
        place = Place(self.round, self.output, turn, step, self.plan.shared)
        left = yield from exchange_partitions(self.me, self.roster, place, rows, decisions, left, self.sealing)
        self._check_left_sums(rows, left, found)
        for node, one in found.items():
            if one.split is None:
                continue
            self._note(grown, node, one.owner, rows[node])
            grown.gains[one.owner] = grown.gains.get(one.owner, 0.0) + one.gain
            if one.owner == 0:
                grown.splits.append(OwnSplit(node, one.split.feature, one.split.bin, one.split.missing_left))
        return children_rows(rows, decisions, left)

    def _own_splits(self, rows: Mapping[int, Rows]) -> dict[int, Found]:
        """The active party's own best split of every node."""
        return {
            node: Found(0, best_split(sums, self.layout, self.scales, self.rules, counts))
            for node, (sums, counts) in self._own_histograms(rows).items()
        }

    def _own_histograms(self, rows: Mapping[int, Rows]) -> dict[int, tuple[Integers, Integers]]:
        """Own sums and row counts of newly opened nodes; the larger sibling by subtraction where the parent is known.

        It is not where other parties competed above, and there a sibling may have become a leaf.
        """
        inside = {node: members[self.sampled[members]] for node, members in rows.items()}
        paired = {node: len(members) for node, members in inside.items() if parent(node) in self._own}
        direct = (set(rows) - set(paired)) | set(summed_nodes(paired))
        result: dict[int, tuple[Integers, Integers]] = {}
        for node in direct:
            result[node] = plain_histogram(self.bins, inside[node], self.values_q, self.layout)
            for column in result[node]:
                column[~self._in_use] = 0
        for node in set(rows) - direct:
            (sums, counts), (less, fewer) = self._own.pop(parent(node)), result[sibling(node)]
            result[node] = (sums - less, counts - fewer)
        self._own.update(result)
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
        found: Mapping[int, Found],
    ) -> None:
        """The announced left rows must sum to exactly what the winning histogram said."""
        for node, mask in left.items():
            members = rows[node][mask]
            sums = self.values_q[members[self.sampled[members]]].sum(axis=0)
            one = found[node]
            if one.split is None or (int(sums[0]), int(sums[1])) != one.split.left:
                raise ForgedHistogramError(
                    self.roster[one.owner],
                    f"rows announced left of node {node} do not sum to its decrypted histogram",
                )


def _decision(node: int, found: Found) -> SplitNode:
    split = found.split
    if split is None:
        return SplitNode(node, -1, -1, -1, False)
    return SplitNode(node, found.owner, split.feature, split.bin, split.missing_left)


def _announced(decision: SplitNode) -> SplitNode:
    """What others are told: the active party's own feature and bin stay with it."""
    if decision.owner > 0:
        return decision
    return SplitNode(decision.node, decision.owner, -1, -1, False)
