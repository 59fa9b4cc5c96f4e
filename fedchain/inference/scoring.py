"""Margins from leaf bits. Pure numpy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.model.leaf_mask import Bits, leaf_weights, require_one_leaf
from fedchain.model.shard import Shard


def margins(shard: Shard, bits_by_party: Sequence[Bits], culprits: str) -> NDArray[np.float64]:
    """Margins of rows from every party's leaf bits; the active party's shard only.

    Trees are added one after the other in training order, so that a score is the same whatever batch it came in.

    Args:
        shard: the active party's.
        bits_by_party: shape (rows, leaves of all trees) each, all parties of the roster (`whole_bits`).
        culprits: who is named when the bits do not lead to one leaf of each tree.

    Returns:
        Shape (rows, outputs).

    Raises:
        ProtocolViolationError: see `culprits`.
    """
    reached = np.logical_and.reduce(list(bits_by_party))
    require_one_leaf(reached, shard, culprits)
    weights, start = leaf_weights(shard), 0
    result = np.tile(np.asarray(shard.base_margins), (len(reached), 1))
    for tree in shard.trees:
        stop = start + len(tree.weights)
        result[:, tree.output] += weights[start:stop][np.argmax(reached[:, start:stop], axis=1)]
        start = stop
    return result
