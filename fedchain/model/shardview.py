"""What a party's shard says, in the words and units of its own table, for `fedchain model show` and the HTTP API.

Reads one shard and nothing else: other parties' features, thresholds and values are not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fedchain.data.binning import BinMapper
from fedchain.data.feature import BinnedFeature
from fedchain.errors import ConfigError, ModelFormatError
from fedchain.model.shard import OwnSplit, Shard, Tree

_LISTED = 6
"""Categories of a grouped feature's side that a rule names."""


@dataclass(frozen=True)
class FeatureUse:
    """One own feature that at least one tree splits on.

    Attributes:
        name: as in the table, `Contract=One year` for a category.
        splits: how many nodes.
        cover: training rows at these nodes, summed; active party only, else None.
        importance: cover as a share of that of all nodes of all parties; active party only, else None.
    """

    name: str
    splits: int
    cover: int | None
    importance: float | None


@dataclass(frozen=True)
class Node:
    """One node of a tree as this party knows it.

    Attributes:
        number: heap id; the children of n are 2n + 1 (left) and 2n + 2 (right).
        owner: party that owns the split, None where this party's tree ends.
        split: own split, else None.
        rows: training rows; active party only, else None.
        weight: of a leaf; active party only, else None.
    """

    number: int
    owner: str | None
    split: OwnSplit | None
    rows: int | None
    weight: float | None


class ShardView:
    """A checked shard."""

    def __init__(self, shard: Shard) -> None:
        """Check that the shard's parts fit each other, so that everything below can rely on it.

        Raises:
            ModelFormatError: a node, feature, bin, owner, cover or weight is missing or out of range.
        """
        self.shard = shard
        self.features = BinMapper.from_json(shard.binning).features
        for number, tree in enumerate(shard.trees, start=1):
            problem = _problem(tree, shard, self.features)
            if problem is not None:
                raise ModelFormatError(f"model shard: tree {number} {problem}")

    @property
    def is_active(self) -> bool:
        """Whether this is the label holder's shard, with leaf weights and covers."""
        return self.shard.index == 0

    @property
    def outputs(self) -> int:
        """Trees per round."""
        return max((tree.output + 1 for tree in self.shard.trees), default=1)

    def splits_by_party(self) -> dict[str, int | None]:
        """Splits per party in roster order; None where this party does not know."""
        counts = [0] * len(self.shard.roster)
        for tree in self.shard.trees:
            for owner in tree.shape.owners:
                if owner >= 0:
                    counts[owner] += 1
        known = self.is_active or self.shard.shares_shapes
        return {
            party: count if known or party == self.shard.party else None
            for party, count in zip(self.shard.roster, counts, strict=True)
        }

    def uses(self) -> list[FeatureUse]:
        """Own features that trees split on, the most important first (by splits where covers are not known)."""
        splits, covers, everything = [0] * len(self.features), [0] * len(self.features), 0
        for tree in self.shard.trees:
            cover_of = dict(zip(tree.shape.nodes, tree.covers, strict=True)) if tree.covers else {}
            owner_of = zip(tree.shape.nodes, tree.shape.owners, strict=True)
            everything += sum(cover_of.get(node, 0) for node, owner in owner_of if owner >= 0)
            for split in tree.splits:
                splits[split.feature] += 1
                covers[split.feature] += cover_of.get(split.node, 0)
        used = [
            FeatureUse(
                feature.name,
                count,
                cover if self.is_active else None,
                (cover / everything if everything else 0.0) if self.is_active else None,
            )
            for feature, count, cover in zip(self.features, splits, covers, strict=True)
            if count
        ]
        return sorted(used, key=lambda use: (-(use.cover or 0), -use.splits, use.name))

    def tree(self, number: int) -> Tree:
        """Tree number `number`, counted from 1 in training order.

        Raises:
            ConfigError: there is none.
        """
        if not 1 <= number <= len(self.shard.trees):
            raise ConfigError(f"tree {number}: the model has trees 1 to {len(self.shard.trees)}")
        return self.shard.trees[number - 1]

    def nodes(self, number: int) -> Iterator[Node]:
        """Nodes of a tree, ascending."""
        tree = self.tree(number)
        splits = {split.node: split for split in tree.splits}
        weights = dict(zip(tree.shape.leaves(), tree.weights, strict=True)) if tree.weights else {}
        covers = dict(zip(tree.shape.nodes, tree.covers, strict=True)) if tree.covers else {}
        for node, owner in zip(tree.shape.nodes, tree.shape.owners, strict=True):
            name = self.shard.roster[owner] if owner >= 0 else None
            yield Node(node, name, splits.get(node), covers.get(node), weights.get(node))

    def rule(self, split: OwnSplit) -> str:
        """Which rows go left, in the table's own units: `tenure < 12.5`, `Contract is not One year`."""
        feature = self.features[split.feature]
        text = _rule(feature, split.bin)
        if not feature.has_missing or split.bin == feature.n_bins - 1:
            return text
        return f"{text}, or no value" if split.missing_left else text

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        shard = self.shard
        report: dict[str, Any] = {
            "party": shard.party,
            "role": "active" if self.is_active else "passive",
            "roster": list(shard.roster),
            "mode": shard.mode,
            "objective": shard.objective,
            "trees": len(shard.trees),
            "outputs": self.outputs,
            "splits": self.splits_by_party(),
            "features_held": len(self.features),
            "features_used": [
                {"name": use.name, "splits": use.splits}
                | ({} if use.importance is None else {"cover": use.cover, "importance": round(use.importance, 6)})
                for use in self.uses()
            ],
            "shard_digest": shard.digest().hex(),
        }
        if self.is_active:
            report["base_margins"] = list(shard.base_margins)
        return report

    def tree_as_dict(self, number: int) -> dict[str, Any]:
        """One tree for JSON."""
        return {
            "number": number,
            "output": self.tree(number).output,
            "nodes": [self._node_as_dict(node) for node in self.nodes(number)],
        }

    def _node_as_dict(self, node: Node) -> dict[str, Any]:
        found: dict[str, Any] = {"node": node.number, "owner": node.owner}
        if node.split is not None:
            feature = self.features[node.split.feature]
            found |= {"feature": feature.name, "left": self.rule(node.split)}
            if feature.kind == "numeric" and node.split.bin < len(feature.cuts):
                found["threshold"] = feature.cuts[node.split.bin]
            found["missing_left"] = node.split.missing_left
        if node.rows is not None:
            found["rows"] = node.rows
        if node.weight is not None:
            found["weight"] = node.weight
        return found


def _rule(feature: BinnedFeature, split_bin: int) -> str:
    if split_bin == feature.n_bins - 1:
        return f"{feature.column} has a value"
    if feature.kind == "numeric":
        return f"{feature.column} < {feature.cuts[split_bin]:.10g}"
    if feature.kind == "category":
        return f"{feature.column} is not {feature.category}"
    if feature.kind == "other":
        return f"{feature.column} is a frequent category"
    named = [category for group in feature.groups[: split_bin + 1] for category in group]
    rest = f" and {len(named) - _LISTED} more" if len(named) > _LISTED else ""
    return f"{feature.column} is one of {', '.join(named[:_LISTED])}{rest}"


def _problem(tree: Tree, shard: Shard, features: tuple[BinnedFeature, ...]) -> str | None:
    """What keeps a tree from being read, in words that follow its number."""
    nodes, owners = tree.shape.nodes, tree.shape.owners
    if len(nodes) != len(owners) or list(nodes) != sorted(set(nodes)) or tree.output < 0:
        return "has no list of nodes in order, with an owner each"
    children = {0} | {2 * n + side for n, owner in zip(nodes, owners, strict=True) if owner >= 0 for side in (1, 2)}
    if set(nodes) != children or not all(-1 <= owner < len(shard.roster) for owner in owners):
        return "has nodes without a parent, or owners who are not on the roster"
    mine = [node for node, owner in zip(nodes, owners, strict=True) if owner == shard.index]
    if sorted(split.node for split in tree.splits) != mine:
        return "does not have this party's splits, one for each of its nodes"
    if any(one.feature >= len(features) or one.bin >= features[one.feature].n_bins for one in tree.splits):
        return "splits on a feature or a bin that the shard's binning does not have"
    active = shard.index == 0
    if len(tree.covers) != len(nodes) * active or len(tree.weights) != len(tree.shape.leaves()) * active:
        return "has leaf weights or covers that do not fit its nodes or this party's role"
    return None
