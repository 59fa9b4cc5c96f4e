"""The joint model and the joined table, in the clear: what no party has, and what scores by id are held against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.data.binning import BinMapper
from fedchain.data.table import Table
from fedchain.model.shard import Shard


def joint_margins(shards: Sequence[Shard], tables: Sequence[Table], ids: Sequence[str]) -> NDArray[np.float64]:
    """Margins of customers by walking each tree with every party's splits and values.

    A party that does not have a customer has no value of it.

    Args:
        shards, tables: of all parties, roster order.
        ids: of the customers.

    Returns:
        Shape (ids, outputs).
    """
    rows_of = [_bins_by_id(shard, table) for shard, table in zip(shards, tables, strict=True)]
    splits = [
        {(number, split.node): split for number, tree in enumerate(shard.trees) for split in tree.splits}
        for shard in shards
    ]
    missing = [_n_bins(shard) for shard in shards]
    margins = []
    for one in ids:
        margin = list(shards[0].base_margins)
        for number, tree in enumerate(shards[0].trees):
            owner_of = dict(zip(tree.shape.nodes, tree.shape.owners, strict=True))
            node = 0
            while owner_of[node] >= 0:
                owner = owner_of[node]
                split = splits[owner][number, node]
                value, none = rows_of[owner].get(one, missing[owner])[split.feature], missing[owner][split.feature]
                goes_left = split.missing_left if value >= none else value <= split.bin
                node = 2 * node + (1 if goes_left else 2)
            margin[tree.output] += tree.weights[tree.shape.leaves().index(node)]
        margins.append(margin)
    return np.array(margins, np.float64)


def _bins_by_id(shard: Shard, table: Table) -> dict[str, list[int]]:
    bins = BinMapper.from_json(shard.binning).transform(table, np.arange(len(table)))
    return dict(zip(table.ids, bins.tolist(), strict=True))


def _n_bins(shard: Shard) -> list[int]:
    return [feature.n_bins for feature in BinMapper.from_json(shard.binning).features]
