"""Gradient-boosted trees on joined integers, the slow and obvious way: one node at a time, one mask per split.

Shares no code with `fedchain.training` (but the job's parameters): it is what the federation is measured against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.data.binning import BinMapper
from fedchain.data.holdout import stratified_holdout
from fedchain.data.table import Table
from fedchain.training.boosting.params import BoostingParams


@dataclass(frozen=True)
class Matrix:
    """One party's bins: (rows, features) uint8, value bins per feature, whether it has missing values."""

    bins: NDArray[np.uint8]
    n_bins: tuple[int, ...]
    has_missing: tuple[bool, ...]


@dataclass(frozen=True)
class Node:
    """A node: who splits it how (owner -1: a leaf), its training rows, its weight if it is a leaf."""

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
    labels: NDArray[np.float64]
    held_out: NDArray[np.bool_]


def join(tables: Sequence[Table], bins: int, fraction: float, seed: int) -> Joined:
    """What alignment, binning and the hold-out should come to."""
    common = set.intersection(*(set(table.ids) for table in tables))
    ids = tuple(sorted(common, key=int) if all(one.isdigit() for one in common) else sorted(common))
    matrices = []
    for table in tables:
        rows = table.rows_of(ids)
        mapper = BinMapper.from_table(table, rows, bins)
        matrices.append(
            Matrix(
                mapper.transform(table, rows),
                tuple(one.n_bins for one in mapper.features),
                tuple(one.has_missing for one in mapper.features),
            )
        )
    label = tables[0].label
    assert label is not None
    labels = label[tables[0].rows_of(ids)]
    return Joined(ids, tuple(matrices), labels, stratified_holdout(labels, fraction, seed))


def sigmoid(margin: NDArray[np.float64]) -> NDArray[np.float64]:
    small = np.exp(-np.abs(margin))
    return np.where(margin >= 0, 1 / (1 + small), small / (1 + small))


def boost(joined: Joined, params: BoostingParams) -> tuple[float, list[RefTree], NDArray[np.float64]]:
    """Base margin, trees, and margins of all rows, held-out ones included."""
    train = np.flatnonzero(~joined.held_out)
    mean = joined.labels[train].mean()
    base = float(np.log(mean / (1 - mean)))
    margins = np.full(len(joined.labels), base)
    trees = []
    for _ in range(params.trees):
        probability = sigmoid(margins[train])
        columns = [probability - joined.labels[train], np.maximum(probability * (1 - probability), 1e-16)]
        scales = [4096 / float(np.abs(column).max()) for column in columns]
        values = np.zeros((len(joined.labels), 2), dtype=np.int64)
        for part in range(2):
            values[train, part] = np.rint(columns[part] * scales[part]).astype(np.int64)
        tree: RefTree = {}
        _grow(tree, 0, train, 0, joined, values, scales, params)
        margins = margins + np.array([_weight_of(tree, joined, row) for row in range(len(joined.labels))])
        trees.append(tree)
    return base, trees, margins


def _grow(
    tree: RefTree,
    node: int,
    rows: NDArray[np.int64],
    level: int,
    joined: Joined,
    values: NDArray[np.int64],
    scales: Sequence[float],
    params: BoostingParams,
) -> None:
    g, h = (float(values[rows, part].sum()) / scales[part] for part in range(2))
    best: tuple[float, int, int, int, bool] | None = None
    if level < params.depth:
        for owner, matrix in enumerate(joined.matrices):
            for feature in range(len(matrix.n_bins)):
                for split_bin in range(matrix.n_bins[feature]):
                    for missing_left in (False, True) if matrix.has_missing[feature] else (False,):
                        left = rows[_goes_left(matrix, rows, feature, split_bin, missing_left)]
                        gl, hl = (float(values[left, part].sum()) / scales[part] for part in range(2))
                        right = np.setdiff1d(rows, left)
                        gr, hr = (float(values[right, part].sum()) / scales[part] for part in range(2))
                        if min(hl, hr) < max(params.min_child_weight, 1e-12):
                            continue
                        gain = gl * gl / (hl + params.l2) + gr * gr / (hr + params.l2) - g * g / (h + params.l2)
                        if gain > max(params.gamma, 1e-6) and (best is None or gain > best[0]):
                            best = (gain, owner, feature, split_bin, missing_left)
    if best is None:
        weight = -params.learning_rate * g / (h + params.l2)
        tree[node] = Node(-1, -1, -1, False, len(rows), weight)
        return
    _, owner, feature, split_bin, missing_left = best
    tree[node] = Node(owner, feature, split_bin, missing_left, len(rows), 0.0)
    goes = _goes_left(joined.matrices[owner], rows, feature, split_bin, missing_left)
    _grow(tree, 2 * node + 1, rows[goes], level + 1, joined, values, scales, params)
    _grow(tree, 2 * node + 2, rows[~goes], level + 1, joined, values, scales, params)


def _goes_left(
    matrix: Matrix, rows: NDArray[np.int64], feature: int, split_bin: int, missing_left: bool
) -> NDArray[np.bool_]:
    column = matrix.bins[rows, feature]
    missing = column == matrix.n_bins[feature]
    return np.where(missing, missing_left, column <= split_bin)


def _weight_of(tree: RefTree, joined: Joined, row: int) -> float:
    node = 0
    while tree[node].owner >= 0:
        one = tree[node]
        goes = _goes_left(joined.matrices[one.owner], np.array([row]), one.feature, one.bin, one.missing_left)[0]
        node = 2 * node + (1 if goes else 2)
    return tree[node].weight
