"""The open model: the part of the label holder's shard that an audit shows to the roster.

It has of each tree the shape with owners, training covers, and leaf weights; and the base margins. It has no column, no
cut, no own split of the label holder: names and thresholds stay where they are. Outside standard mode it shows passive
parties the owners of nodes that they did not know, and how many training rows went where.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence

import msgspec
import numpy as np

from fedchain.errors import ContributionError, ModelFormatError
from fedchain.model.leaf_mask import view_of
from fedchain.model.shard import Shard, Tree
from fedchain.types import AuditReason

_OUTPUTS = b"fedchain-outputs-1"
_WEIGHTS = b"fedchain-commitment-1"
_MAX_NODE = 2**20


def open_model(shard: Shard) -> Shard:
    """What is opened of the active party's shard; its `to_bytes` are the canonical bytes.

    It can do what the shard can do for losses and leaf bits of others, and nothing else: it routes no row.
    """
    trees = tuple(msgspec.structs.replace(tree, splits=()) for tree in shard.trees)
    return msgspec.structs.replace(shard, trees=trees, binning={})


def active_outputs(model: bytes, unit: float, salt: bytes, bits_root: bytes) -> bytes:
    """What the active party freezes, 32 bytes.

    SHA-256("fedchain-outputs-1" ‖ SHA-256(salt ‖ float64 big-endian unit ‖ model) ‖ root of its own leaf bits).

    Args:
        model: the open model's canonical bytes.
        unit: what squared errors are divided by (`unit_of`).
        salt: 32 random bytes.
        bits_root: 32 bytes, of the tree of its own leaf bits.
    """
    inner = hashlib.sha256(salt + struct.pack(">d", unit) + model).digest()
    return hashlib.sha256(_OUTPUTS + inner + bits_root).digest()


def weights_commitment(salt: bytes, packed: bytes) -> bytes:
    """The commitment of a `LeafWeights` message: SHA-256("fedchain-commitment-1" ‖ salt ‖ weights), 32 bytes.

    Args:
        salt: 32 bytes.
        packed: weights of the round's trees, float64 little-endian.
    """
    return hashlib.sha256(_WEIGHTS + salt + packed).digest()


def check_open_model(raw: bytes, own: Shard, culprit: str) -> Shard:
    """Read an open model, and compare it with what this party knows of the model.

    Args:
        raw: its bytes.
        own: the auditor's shard of the same model.
        culprit: the label holder.

    Returns:
        The open model, safe to compute losses with.

    Raises:
        ContributionError: not canonical, not of the auditor's model, or not a model; names `culprit`, reason SHAPES.
    """
    try:
        model = Shard.from_bytes(raw)
    except ModelFormatError as error:
        raise ContributionError(culprit, AuditReason.SHAPES, f"opened no model: {error}") from error
    problem = _problem(model, own)
    if problem:
        raise ContributionError(culprit, AuditReason.SHAPES, f"opened a model that {problem}")
    return model


def check_weights(model: Shard, earlier_rounds: int, commitments: Sequence[bytes], salts: bytes, culprit: str) -> None:
    """Compare opened leaf weights with the commitments that came with each round of training.

    Weights of the rounds of a model that the job continued were committed to in the earlier job and are not compared.

    Args:
        model: as `check_open_model` gives it.
        earlier_rounds: of the model that the job continued, else 0.
        commitments: of each round that the job added and the model keeps, 32 bytes (`PassiveModel`).
        salts: 32 bytes for each.
        culprit: the label holder.

    Raises:
        ContributionError: some round's weights are others; names `culprit`, reason WEIGHTS.
    """
    outputs = len(model.base_margins)
    if len(model.trees) != outputs * (earlier_rounds + len(commitments)) or len(salts) != 32 * len(commitments):
        raise ContributionError(culprit, AuditReason.WEIGHTS, "opened weights of another number of rounds")
    for number, commitment in enumerate(commitments):
        first = outputs * (earlier_rounds + number)
        weights = [weight for tree in model.trees[first : first + outputs] for weight in tree.weights]
        plain = np.asarray(weights, dtype="<f8").tobytes()
        salt = salts[32 * number : 32 * number + 32]
        if weights_commitment(salt, plain) != commitment:
            raise ContributionError(
                culprit, AuditReason.WEIGHTS, f"opened other leaf weights than it trained in round {number + 1}"
            )


def _problem(model: Shard, own: Shard) -> str:
    """Why it cannot be the model that `own` is a shard of; empty where it can."""
    if model.party != own.roster[0] or model.roster != own.roster:
        return "is of other parties"
    if (model.mode, model.objective) != (own.mode, own.objective):
        return "is of another mode or objective"
    if model.binning or any(tree.splits for tree in model.trees):
        return "has columns or splits"
    if len(model.trees) != len(own.trees):
        return f"has {len(model.trees)} trees, {len(own.trees)} were trained"
    outputs = len(model.base_margins)
    if not 1 <= outputs <= len(model.trees) or (outputs > 1) != (model.objective == "multiclass"):
        return "has another number of base margins than outputs"
    if not all(map(math.isfinite, model.base_margins)):
        return "has base margins that are no numbers"
    for number, (tree, known) in enumerate(zip(model.trees, own.trees, strict=True)):
        problem = _tree_problem(tree, len(own.roster))
        if not problem and (tree.output != known.output or not 0 <= tree.output < outputs):
            problem = "adds to another output"
        if not problem and view_of(model, tree, own.index) != known.shape:
            problem = "has another shape than in training"
        if problem:
            return f"in tree {number + 1} {problem}"
    return ""


def _tree_problem(tree: Tree, parties: int) -> str:
    nodes, owners = tree.shape.nodes, tree.shape.owners
    if len(nodes) != len(owners) or not nodes or list(nodes) != sorted(set(nodes)) or nodes[-1] > _MAX_NODE:
        return "has nodes out of order"
    expected, owner_of = {0}, dict(zip(nodes, owners, strict=True))
    for node, owner in owner_of.items():
        if not -1 <= owner < parties or node not in expected:
            return "has nodes that are not on any path, or are nobody's"
        if owner >= 0:
            expected |= {2 * node + 1, 2 * node + 2}
    if expected != set(nodes):
        return "lacks nodes"
    if len(tree.covers) != len(nodes) or len(tree.weights) != owners.count(-1):
        return "lacks covers or weights"
    if not all(map(math.isfinite, tree.weights)):
        return "has weights that are no numbers"
    covers = dict(zip(nodes, tree.covers, strict=True))
    for node, owner in owner_of.items():
        if not 0 <= covers[node] < 2**53:
            return "has covers out of range"
        if owner >= 0 and (covers[node] < 1 or covers[2 * node + 1] + covers[2 * node + 2] != covers[node]):
            return "has covers that do not add up"
    return ""
