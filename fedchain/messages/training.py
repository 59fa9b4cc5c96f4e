"""Messages of boosting."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from fedchain.messages.base import Message
from fedchain.types import Kind

MAX_BLOB = 2**31
Blob = Annotated[bytes, msgspec.Meta(max_length=MAX_BLOB)]
NodeId = Annotated[int, msgspec.Meta(ge=0, le=2**20)]


class Gradients(Message, frozen=True):
    """The active party's encrypted gradients and hessians of one round. Reveals which rows train and which are routed.

    Attributes:
        routed_bits: packed bits (little-endian bit order), one per aligned row: is the row led down the trees.
        row_bits: the same: does the row enter histograms; such rows are routed, too.
        rows: number of set bits of `row_bits`.
        ciphertexts: `CipherRows` of (gradient, hessian) for those rows, in aligned order.
    """

    kind: ClassVar[Kind] = Kind.GRADIENTS

    routed_bits: Blob
    row_bits: Blob
    rows: Annotated[int, msgspec.Meta(ge=1)]
    ciphertexts: Blob


FeatureGroups = tuple[Annotated[bytes, msgspec.Meta(max_length=127)], Annotated[int, msgspec.Meta(ge=0, le=2)]]
"""Sizes of the groups in the parent's groups (one byte each), and what became of the missing bin (`merging`)."""


class Histogram(Message, frozen=True):
    """A passive party's re-randomised encrypted histograms of a turn. Reveals how many features and groups of bins.

    Features come in the party's secret order of this tree: by position.

    Attributes:
        nodes: node ids in ascending order, those whose rows were summed (smaller siblings, or the root).
        groups: per node and position, how groups of bins follow from the parent's (at the root: from the bins).
        sums: `CipherSums`, node after node, position after position, group after group, the missing bin last.
    """

    kind: ClassVar[Kind] = Kind.HISTOGRAM

    nodes: Annotated[tuple[NodeId, ...], msgspec.Meta(max_length=2**16)]
    groups: Annotated[
        tuple[Annotated[tuple[FeatureGroups, ...], msgspec.Meta(max_length=2**16)], ...], msgspec.Meta(max_length=2**16)
    ]
    sums: Blob


class SplitNode(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What becomes of one node.

    Attributes:
        node: its id.
        owner: roster index of the party that owns the split, -1 for a leaf.
        feature: position at which its owner shows the feature in this tree, -1 where the owner is the active party or
            the node a leaf.
        bin: rows in this group of bins or a lower one go left; -1 as above.
        missing_left: whether rows without a value go left; False as above.
    """

    node: NodeId
    owner: Annotated[int, msgspec.Meta(ge=-1, le=7)]
    feature: Annotated[int, msgspec.Meta(ge=-1, le=2**16)]
    bin: Annotated[int, msgspec.Meta(ge=-1, le=255)]
    missing_left: bool


class Split(Message, frozen=True):
    """The active party's decision of a turn. Public to the consortium.

    Attributes:
        nodes: every open node of a level, ascending; of a leaf-wise tree the one that is split next, or none.
    """

    kind: ClassVar[Kind] = Kind.SPLIT

    nodes: Annotated[tuple[SplitNode, ...], msgspec.Meta(max_length=2**16)]


class Partition(Message, frozen=True):
    """Which rows of each split node go left; sealed to the roster in standard mode, else to the active party.

    A warm start opens with one of no node, from each passive party: it seals to the active party the packed leaf bits
    of all aligned rows under the checkpoint.

    Attributes:
        nodes: node ids in ascending order, those whose splits the sender owns.
        sealed: seals the joined packed bits, one run of whole bytes per node, a bit per row of the node in order.
    """

    kind: ClassVar[Kind] = Kind.PARTITION

    nodes: Annotated[tuple[NodeId, ...], msgspec.Meta(max_length=2**16)]
    sealed: Blob


class LeafWeights(Message, frozen=True):
    """The active party's leaf weights of one round, for itself alone. It closes the round.

    Attributes:
        commitment: SHA-256 over salt and weights.
        sealed: the weights, sealed to the active party itself.
        last: whether the active party's stopping rule is met with this round.
        keep: with the last round, how many rounds the finished model has; else 0.
    """

    kind: ClassVar[Kind] = Kind.LEAF_WEIGHTS

    commitment: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    sealed: Blob
    last: bool
    keep: Annotated[int, msgspec.Meta(ge=0, le=2**20)]
