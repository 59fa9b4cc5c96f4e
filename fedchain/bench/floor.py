"""The point operations that a tree cannot do without, counted from the trees that were grown, and what they cost here.

Every row that trains is encrypted once per round in which a passive party takes part. At each node where passive
parties compete, each row of the root or of a smaller sibling is added once per feature of theirs, to one point for the
shared randomness and one for each of gradient and hessian. Not counted: parsing, re-randomisation, decryption.

A leaf-wise tree that has all its leaves asks no sums of the children of its last split. Which split was last no shard
says, so of all that may have been, the one with the dearest children is left out: the floor is never too high.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedchain.compute.executor import Executor
from fedchain.crypto.elgamal import KeyPair
from fedchain.crypto.points import sum_groups
from fedchain.model.shard import Shard
from fedchain.training.boosting.params import BoostingParams
from fedchain.training.boosting.plan import TreePlan, plan_tree
from fedchain.training.boosting.tree import level_of, sibling, summed_nodes

CALIBRATION_ROWS = 16384
GROUP = 256
POINTS = 3  # shared randomness, gradient, hessian
LARGEST = 4096  # of a scaled gradient


@dataclass(frozen=True)
class Operations:
    """Of a whole run: rows encrypted, points added."""

    encrypted_rows: int
    additions: int


@dataclass(frozen=True)
class Cost:
    """Seconds of one operation: wall time with all workers, and processor time."""

    wall: float
    cpu: float

    def least(self, other: Cost) -> Cost:
        """The smaller of both."""
        return Cost(min(self.wall, other.wall), min(self.cpu, other.cpu))


@dataclass(frozen=True)
class Costs:
    """Cost of the encryption of a row without a pool, and of one addition."""

    encrypt: Cost
    add: Cost

    def least(self, other: Costs) -> Costs:
        """The smaller of both: what was measured while other programs ran counts too much."""
        return Costs(self.encrypt.least(other.encrypt), self.add.least(other.add))

    def of(self, operations: Operations) -> Cost:
        """What the operations take, and nothing around them."""
        rows, additions = operations.encrypted_rows, operations.additions
        return Cost(
            rows * self.encrypt.wall + additions * self.add.wall, rows * self.encrypt.cpu + additions * self.add.cpu
        )


def count(params: BoostingParams, shard: Shard, train_rows: int, features: Sequence[int]) -> Operations:
    """Count what a run needed.

    Args:
        shard: the active party's: shapes, and training rows per node.
        train_rows: rows that enter histograms.
        features: binned features per party, roster order.
    """
    encrypted = additions = 0
    outputs = params.outputs
    has_features = [count > 0 for count in features]
    for place, tree in enumerate(shard.trees):
        plan = plan_tree(params, place // outputs + 1, has_features)
        if plan.passive and place % outputs == 0:
            encrypted += train_rows
        covers = dict(zip(tree.shape.nodes, tree.covers, strict=True))
        for level in range(plan.level_wise):
            nodes = {node: cover for node, cover in covers.items() if level_of(node) == level}
            additions += _additions(plan, features, level, [covers[node] for node in summed_nodes(nodes)])
        if plan.level_wise < params.depth and plan.passive_at(plan.level_wise):
            sums = _leaf_wise_sums(dict(zip(tree.shape.nodes, tree.shape.owners, strict=True)), covers, params)
            additions += _additions(plan, features, plan.level_wise, sums)
    return Operations(encrypted, additions)


def _additions(plan: TreePlan, features: Sequence[int], level: int, summed: Sequence[int]) -> int:
    return POINTS * sum(features[index] for index in plan.passive_at(level)) * sum(summed)


def _leaf_wise_sums(owners: Mapping[int, int], covers: Mapping[int, int], params: BoostingParams) -> list[int]:
    """Rows that are summed, per node of a tree that grew leaf by leaf from its root."""
    nodes = summed_nodes({node: cover for node, cover in covers.items() if level_of(node) < params.depth})
    summed = {node: covers[node] for node in nodes}
    leaves = {node for node, owner in owners.items() if owner < 0}
    if len(leaves) == params.most_leaves:
        last = [node for node in nodes if node and {node, sibling(node)} <= leaves]
        if last:
            del summed[max(last, key=lambda node: covers[node])]
    return list(summed.values())


def calibrate(rows: int, outputs: int, executor: Executor) -> Costs:
    """Cost of both operations on this machine, now: the best of three."""
    size = min(rows, CALIBRATION_ROWS)
    random = np.random.default_rng(1)
    keys = KeyPair.generate(2 * outputs)
    values = random.integers(-LARGEST, LARGEST + 1, size=(size, 2 * outputs))
    cipher = keys.encrypt_rows(values, executor=executor)  # builds the table of G once per process
    members = random.permutation(size).astype(np.int64)
    offsets = np.append(np.arange(0, size, GROUP), size).astype(np.int64)
    points = (cipher.c1, *cipher.c2[:2])
    return Costs(
        _best(lambda: keys.encrypt_rows(values, executor=executor), size),
        _best(lambda: [sum_groups([one], members, offsets, executor) for one in points], POINTS * size),
    )


def _best(work: Callable[[], object], operations: int) -> Cost:
    best = Cost(float("inf"), float("inf"))
    for _ in range(3):
        started, cpu = time.perf_counter(), time.process_time()
        work()
        best = best.least(Cost((time.perf_counter() - started) / operations, (time.process_time() - cpu) / operations))
    return best
