"""Gradient-boosted trees on joined integers, the slow and obvious way: one node at a time, one mask per split.

Shares no code with `fedchain.training` but the job's parameters and the seeded draws of rows and columns: it is what
the federation is measured against, in all modes and for all objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fedchain.data.binning import BinMapper
from fedchain.data.holdout import three_way
from fedchain.data.table import Table
from fedchain.federation.spec import JobSpec, Stopping
from fedchain.training.boosting.params import BoostingParams, Growth
from fedchain.training.boosting.sampling import column_sample, feature_order, goss, order_secret, row_sample
from tests.protocol.coarser import Groups, every_bin, merged
from tests.protocol.losses import base_margins, gradients, log_loss, predicted

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Matrix:
    """One party's bins: (rows, features) uint8, value bins per feature, whether it has missing values, its name."""

    bins: NDArray[np.uint8]
    n_bins: tuple[int, ...]
    has_missing: tuple[bool, ...]
    party: str = ""


@dataclass(frozen=True)
class Node:
    """A node: who splits it how (owner -1: a leaf), its sampled rows, its weight if it is a leaf."""

    owner: int
    feature: int
    bin: int
    missing_left: bool
    cover: int
    weight: float


RefTree = dict[int, Node]


@dataclass(frozen=True)
class Joined:
    """All parties' aligned rows in one place."""

    ids: tuple[str, ...]
    matrices: tuple[Matrix, ...]
    labels: Floats
    weights: Floats
    train: Mask
    validation: Mask
    held_out: Mask


@dataclass(frozen=True)
class Boosted:
    """A model: base margins, trees (output after output in a round), margins of all rows, held-out ones included."""

    base: list[float]
    trees: list[RefTree]
    margins: Floats
    rounds: int


def join(tables: Sequence[Table], spec: JobSpec) -> Joined:
    """What alignment, binning and the split of the rows should come to."""
    common = set.intersection(*(set(table.ids) for table in tables))
    ids = tuple(sorted(common, key=int) if all(one.isdigit() for one in common) else sorted(common))
    matrices = []
    for name, table in zip(spec.names, tables, strict=True):
        rows = table.rows_of(ids)
        weights = None if table.weight is None else table.weight[rows]
        mapper = BinMapper.from_table(table, rows, spec.algorithm.bins, weights)
        matrices.append(
            Matrix(
                mapper.transform(table, rows),
                tuple(one.n_bins for one in mapper.features),
                tuple(one.has_missing for one in mapper.features),
                name,
            )
        )
    places = tables[0].rows_of(ids)
    assert tables[0].label is not None
    labels = tables[0].label[places]
    weights = np.ones(len(ids)) if tables[0].weight is None else tables[0].weight[places]
    stratified = spec.algorithm.objective in ("binary", "multiclass")
    validates = spec.stopping.validation_fraction if spec.stopping.rule == "early" else 0.0
    parts = three_way(labels, spec.holdout.fraction, validates, spec.holdout.seed, stratified)
    return Joined(ids, tuple(matrices), labels, weights, parts.train, parts.validation, parts.holdout)


def boost(joined: Joined, params: BoostingParams, *, seed: int = 42, stopping: Stopping | None = None) -> Boosted:
    """Train on the training rows; early stopping by log loss of the validation rows."""
    train = np.flatnonzero(joined.train)
    labels, weights = joined.labels[train], joined.weights[train]
    base = base_margins(params, labels, weights)
    margins = np.tile(np.asarray(base), (len(joined.labels), 1))
    trees: list[RefTree] = []
    history, losses = [margins.copy()], [np.inf]
    for number in range(1, params.trees + 1):
        derived = gradients(params, margins[train], labels, weights)
        sampled = joined.train.copy()
        if params.goss_top is not None and params.goss_other is not None:
            size = np.abs(derived[:, :, 0]).sum(axis=1)
            derived *= goss(size, params.goss_top, params.goss_other, seed=seed, tree=number)[1][:, None, None]
        elif params.row_sample < 1:
            sampled[train] = row_sample(len(train), params.row_sample, seed=seed, tree=number)
        inside = sampled[train]
        for output in range(params.outputs):
            scales = [4096 / float(np.abs(derived[inside, output, part]).max()) for part in range(2)]
            values = np.zeros((len(joined.labels), 2), dtype=np.int64)
            for part in range(2):
                values[train[inside], part] = np.rint(derived[inside, output, part] * scales[part]).astype(np.int64)
            tree, weight_of_row = _Grower(joined, params, number, output, seed, sampled, values, scales).grow()
            margins[:, output] += weight_of_row
            trees.append(tree)
        history.append(margins.copy())
        if stopping is not None:
            judged = joined.validation
            losses.append(log_loss(joined.labels[judged], predicted(params, margins[judged])))
            if number - int(np.argmin(losses)) >= stopping.patience:
                break
    keep = number if stopping is None else int(np.argmin(losses))
    return Boosted(base, trees[: keep * params.outputs], history[keep], number)


@dataclass
class _Grower:
    joined: Joined
    params: BoostingParams
    number: int
    output: int
    seed: int
    sampled: Mask
    values: NDArray[np.int64]
    scales: Sequence[float]
    groups: dict[tuple[int, int, int], Groups] = field(default_factory=dict)

    def grow(self) -> tuple[RefTree, Floats]:
        """The tree, and the weight of every row's leaf."""
        tree: RefTree = {}
        weights = np.zeros(len(self.sampled))
        rows = {0: np.arange(len(self.sampled))}
        waiting: dict[int, NDArray[np.int64]] = {}
        level_wise = self.params.depth
        if self.params.growth is Growth.LEAF_WISE:
            level_wise = sum(self.competitors(level) != self.competitors(self.params.depth - 1) for level in range(99))
        for level in range(level_wise):
            if self.competitors(level) == [0]:
                rows, waiting = rows | waiting, {}
            following: dict[int, NDArray[np.int64]] = {}
            for node, members in rows.items():
                best = self._best(level, node, members[self.sampled[members]], rows)
                below = any(0 in self.competitors(lower) for lower in range(level + 1, self.params.depth))
                if best is None and below and 0 not in self.competitors(level):
                    waiting[node] = members
                elif best is None:
                    tree[node] = self._leaf(members, weights)
                else:
                    tree[node], children = self._children(node, members, best[1])
                    following |= children
            rows = following
        rows |= waiting
        if level_wise < self.params.depth:
            rows = self._one_leaf_at_a_time(tree, rows, level_wise)
        for node, members in rows.items():
            tree[node] = self._leaf(members, weights)
        return tree, weights

    def _one_leaf_at_a_time(
        self, tree: RefTree, rows: dict[int, NDArray[np.int64]], top: int
    ) -> dict[int, NDArray[np.int64]]:
        """Always the leaf of the highest gain; the one that was there first among equals."""
        seen, found = dict(rows), dict[int, "tuple[float, Node] | None"]()
        while len(rows) + sum(one.owner < 0 for one in tree.values()) < (self.params.max_leaves or 31):
            for node, members in rows.items():
                level = (node + 1).bit_length() - 1
                if node not in found:
                    inside = members[self.sampled[members]]
                    who = max(level, top)  # nodes that were handed down are the lower levels' now
                    found[node] = self._best(who, node, inside, seen) if level < self.params.depth else None
            able = [(node, best) for node in rows if (best := found[node]) is not None]
            if not able:
                break
            node, best = max(able, key=lambda one: one[1][0])
            tree[node], children = self._children(node, rows.pop(node), best[1])
            rows |= children
            seen |= children
        return rows

    def _leaf(self, members: NDArray[np.int64], weights: Floats) -> Node:
        inside = members[self.sampled[members]]
        weight = self.params.learning_rate * self._weight(*self._real(self.values[inside].sum(axis=0)))
        weights[members] = weight
        return Node(-1, -1, -1, False, len(inside), weight)

    def _children(self, node: int, members: NDArray[np.int64], best: Node) -> tuple[Node, dict[int, NDArray[np.int64]]]:
        left = self._goes_left(best.owner, members, best.feature, best.bin, best.missing_left)
        cover = int(self.sampled[members].sum())
        return replace(best, cover=cover), {2 * node + 1: members[left], 2 * node + 2: members[~left]}

    def competitors(self, level: int) -> list[int]:
        """Who may split at a level."""
        able = [owner for owner, matrix in enumerate(self.joined.matrices) if matrix.n_bins]
        passive = [owner for owner in able if owner > 0]
        if self.params.mode.value == "standard":
            return able
        top = min(self.params.top_levels, self.params.depth - 1)
        if self.params.mode.value == "layered" and 0 in able and passive and top:
            return [passive[(self.number - 1) % len(passive)]] if level < top else [0]
        return [able[(self.number - 1) % len(able)]]

    def _best(
        self, level: int, node: int, inside: NDArray[np.int64], rows: dict[int, NDArray[np.int64]]
    ) -> tuple[float, Node] | None:
        total = self.values[inside].sum(axis=0)
        best: tuple[float, Node] | None = None
        for owner in self.competitors(level):
            matrix = self.joined.matrices[owner]
            share = self.params.column_sample
            used = column_sample(len(matrix.n_bins), share, seed=self.seed, tree=self.number, party=matrix.party)
            order = np.arange(len(used))  # passive parties show their features in an order of each tree
            if owner > 0:
                secret = order_secret(matrix.bins, self.seed)
                order = feature_order(len(used), secret=secret, tree=self.number, output=self.output)
            for feature in order[used]:  # a sample is one of positions
                for split_bin, missing_left in self._cuts(owner, int(feature), node, rows):
                    goes = self._goes_left(owner, inside, int(feature), split_bin, missing_left)
                    if owner == 0 and min(goes.sum(), (~goes).sum()) < self.params.least_leaf_rows:
                        continue
                    left = self.values[inside[goes]].sum(axis=0)
                    (gl, hl), (gr, hr) = self._real(left), self._real(total - left)
                    if min(hl, hr) < max(self.params.min_child_weight, 1e-12):
                        continue
                    gain = self._saved(gl, hl) + self._saved(gr, hr) - self._saved(*self._real(total))
                    if gain > max(self.params.gamma, 1e-6) and (best is None or gain > best[0]):
                        best = (gain, Node(owner, int(feature), split_bin, missing_left, 0, 0.0))
        return best

    def _cuts(self, owner: int, feature: int, node: int, rows: dict[int, NDArray[np.int64]]) -> list[tuple[int, bool]]:
        """Candidate boundaries (last original bin on the left) and directions of missing values."""
        matrix = self.joined.matrices[owner]
        n_bins = matrix.n_bins[feature]
        groups = every_bin(n_bins, matrix.has_missing[feature])
        if owner > 0:  # passive parties merge bins; parent's groups are known, for parents come first
            above = self.groups[owner, feature, (node - 1) // 2] if node else groups
            pair = [node] if node == 0 else [node, node + 1 if node % 2 else node - 1]
            inside = [rows[one][self.sampled[rows[one]]] for one in pair]
            columns = [matrix.bins[one, feature] for one in inside]
            groups = merged(above, columns, n_bins, self.params.least_bin_rows, self.params.least_leaf_rows)
            self.groups[owner, feature, node] = groups
        ends = [max(one - {n_bins}) for one in groups.members]
        return [(end, way) for end in ends for way in ((False, True) if groups.missing_apart else (False,))]

    def _goes_left(self, owner: int, rows: NDArray[np.int64], feature: int, split_bin: int, missing_left: bool) -> Mask:
        matrix = self.joined.matrices[owner]
        column = matrix.bins[rows, feature]
        return np.where(column == matrix.n_bins[feature], missing_left, column <= split_bin)

    def _real(self, sums: NDArray[np.int64]) -> tuple[float, float]:
        return float(sums[0]) / self.scales[0], float(sums[1]) / self.scales[1]

    def _weight(self, g: float, h: float) -> float:
        step = self.params.max_delta_step if self.params.objective == "poisson" else np.inf
        shrunk = np.sign(g) * max(abs(g) - self.params.l1, 0.0)
        return float(np.clip(-shrunk / (h + self.params.l2), -step, step))

    def _saved(self, g: float, h: float) -> float:
        if self.params.objective == "poisson":
            w = self._weight(g, h)
            return -(2 * g * w + (h + self.params.l2) * w**2) - 2 * self.params.l1 * abs(w)
        return float(max(abs(g) - self.params.l1, 0.0) ** 2 / (h + self.params.l2))


def view(tree: RefTree, party: int) -> list[int]:
    """Nodes of a tree that a passive party knows outside standard mode: its own from the root, and what ends them."""
    nodes, following = [], [0]
    while following:
        node = following.pop()
        nodes.append(node)
        if tree[node].owner == party:
            following += [2 * node + 1, 2 * node + 2]
    return sorted(nodes)
