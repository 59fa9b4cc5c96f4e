"""Losses of every held-out row under every coalition, as integers: what utilities are sums of, and what audits check.

For a coalition S, a tree's leaf l counts with the product over its members' leaf bits and, for the absent parties, of
the share of training rows that their nodes on the path sent that way:
f_S(x) = base + Σ_l w_l Π_{j∈S} b_jl Π_{j∉S} c_jl. A loss is the squared error of the prediction, for classes summed
over them (Brier), for numbers and counts divided by a unit, the variance of the labels: at home in integers whatever
the labels' unit. Another machine may find a loss that differs by one unit of 1e-6: sums of floats may be paired
otherwise there.

The parties are halved: per half, the products for all of its coalitions; then one multiplication of matrices per row
gives all pairs, 2^p products of leaves without ever holding more than 2^(p/2 + 1) of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.model.leaf_mask import Bits, absent_factors, leaf_weights, tree_starts
from fedchain.model.link import predictions
from fedchain.model.shard import Shard

E6 = 1_000_000
MOST_BRIER_E6 = {"binary": E6, "multiclass": 2 * E6}
MOST_UNITS = 100
"""Of numbers and counts: a larger error counts as so many variances of the labels, or one row could outweigh all."""

Floats = NDArray[np.float64]
Losses = NDArray[np.int64]
"""(rows, coalitions) int64, scaled by 1e6, 0 to `most_loss_e6`; bit j of a coalition's number: party j is in it."""

_CELLS = 2**20
"""Numbers of both halves that are held at a time, 8 MiB."""


def row_losses_e6(shard: Shard, bits_by_party: Sequence[Bits], labels: Floats, unit: float) -> Losses:
    """Losses of rows under all coalitions: 6,000 rows, 50 trees of 32 leaves, 3 parties in a third of a second.

    Args:
        shard: the active party's, or its open model.
        bits_by_party: (rows, leaves of all trees) bool each, roster order (`whole_bits`).
        labels: (rows,) float64, as trained: classes are numbered from 0.
        unit: what squared errors are divided by, above 0 (`unit_of`).

    Returns:
        (rows, 2^parties) int64, whatever the rows are computed with.
    """
    losses = np.empty((len(labels), 2 ** len(shard.roster)), dtype=np.int64)
    for few, margins in _margins(shard, bits_by_party, [slice(0, len(shard.trees))]):
        losses[few] = losses_of_margins(shard, margins, labels[few], unit)
    return losses


def losses_of_margins(shard: Shard, margins: Floats, labels: Floats, unit: float) -> Losses:
    """Losses of predictions.

    Args:
        shard: names the objective.
        margins: (rows, coalitions, outputs) float64.
        labels: (rows,).
        unit: as in `row_losses_e6`.

    Returns:
        (rows, coalitions) int64.
    """
    rows, coalitions, outputs = margins.shape
    flat = margins.reshape(rows * coalitions, outputs)
    with np.errstate(over="ignore", invalid="ignore"):
        found = predictions(shard.objective, flat)
        if shard.objective == "multiclass":
            truth = np.repeat(np.eye(outputs)[labels.astype(np.int64)], coalitions, axis=0)
            error = np.square(found - truth).sum(axis=1)
        else:
            error = np.square(found - np.repeat(labels, coalitions))
        most = float(most_loss_e6(shard.objective))
        capped = np.fmin(error / unit * E6, most)  # not a number, where infinities met, counts as the most
    losses: Losses = np.rint(capped).astype(np.int64).reshape(rows, coalitions)
    return losses


def most_loss_e6(objective: str) -> int:
    """The largest loss of a row: 1e6 for two classes, 2e6 for several, 1e8 (100 variances) for numbers and counts.

    It is what keeps a label holder from hiding a large lie in one row: whoever moves a utility by 0.01 (or by one
    variance) has to lie about 1 % of the rows, or about a block of as many rows in one of them.
    """
    return MOST_BRIER_E6.get(objective, MOST_UNITS * E6)


def loss_sums(losses: Losses) -> tuple[int, ...]:
    """Exact sum of each coalition over all rows, (coalitions,) whole numbers of any size."""
    high, low = losses >> 32, losses & 0xFFFFFFFF
    pairs = zip(high.sum(axis=0).tolist(), low.sum(axis=0).tolist(), strict=True)
    return tuple((int(one) << 32) + int(other) for one, other in pairs)


def utilities_e6(sums: Sequence[int], rows: int) -> tuple[int, ...]:
    """Minus the mean loss of each coalition, rounded as `ContributionAudit` rounds: -((sum + rows // 2) // rows)."""
    return tuple(-((one + rows // 2) // rows) for one in sums)


def unit_of(objective: str, labels: Floats) -> float:
    """What squared errors are divided by: 1.0 for classes, else the labels' variance, or 1.0 where they are all one."""
    return 1.0 if objective in ("binary", "multiclass") else float(labels.var()) or 1.0


def constant_prediction(shard: Shard) -> float:
    """What the model predicts for every row if all parties are absent; for numbers and counts."""
    product = leaf_weights(shard)
    for party in range(len(shard.roster)):
        product = product * absent_factors(shard, party)
    with np.errstate(over="ignore", invalid="ignore"):
        margin = np.asarray(shard.base_margins, dtype=np.float64) + product.sum()
        return float(predictions(shard.objective, margin[None])[0])


def margins_in_steps(
    shard: Shard, bits_by_party: Sequence[Bits], ends: Sequence[int]
) -> Iterator[tuple[slice, int, Floats]]:
    """Margins of all coalitions after some first trees of the model, for a few rows at a time.

    Args:
        shard, bits_by_party: as in `row_losses_e6`.
        ends: numbers of trees, ascending, at least 1 each.

    Yields:
        Which rows, the place in `ends`, and (rows, coalitions, outputs) float64, to be read before the next is taken.
    """
    parts = [slice(first, last) for first, last in zip((0, *ends), ends, strict=False)]
    so_far: Floats | None = None
    place = 0
    for few, added in _margins(shard, bits_by_party, parts):
        with np.errstate(over="ignore", invalid="ignore"):
            so_far = added if place == 0 or so_far is None else so_far + added
        yield few, place, so_far
        place = (place + 1) % len(parts)


def _margins(shard: Shard, bits_by_party: Sequence[Bits], parts: Sequence[slice]) -> Iterator[tuple[slice, Floats]]:
    """Margins of all coalitions, few rows at a time, and for these part after part of the trees.

    The first part's have the base margin in them.
    """
    starts, weights = tree_starts(shard), leaf_weights(shard)
    base = np.asarray(shard.base_margins, dtype=np.float64)
    parties = len(shard.roster)
    absent = [absent_factors(shard, party) for party in range(parties)]
    outputs = np.repeat([tree.output for tree in shard.trees], np.diff(starts)).astype(np.int64)
    low, high = range((parties + 1) // 2), range((parties + 1) // 2, parties)
    most = max([int(starts[part.stop] - starts[part.start]) for part in parts] + [1])
    step = max(1, _CELLS // (most * (2 ** len(low) + 2 ** len(high))))
    rows = len(bits_by_party[0])
    for first in range(0, rows, step):
        few = slice(first, min(first + step, rows))
        for number, part in enumerate(parts):
            leaves = slice(int(starts[part.start]), int(starts[part.stop]))
            one = _products(bits_by_party, absent, low, few, leaves, weights[leaves])
            other = _products(bits_by_party, absent, high, few, leaves, np.ones(leaves.stop - leaves.start))
            margins = np.empty((few.stop - few.start, 2**parties, len(base)))
            with np.errstate(over="ignore", invalid="ignore"):  # of models that have diverged; such losses are capped
                for output in range(len(base)):
                    own = slice(None) if len(base) == 1 else outputs[leaves] == output
                    pairs = other[:, :, own] @ one[:, :, own].transpose(0, 2, 1)
                    margins[:, :, output] = pairs.reshape(len(margins), -1)  # coalition = high half ‖ low half
                if number == 0:
                    margins += base
            yield few, margins


def _products(
    bits_by_party: Sequence[Bits],
    absent: Sequence[Floats],
    half: range,
    few: slice,
    leaves: slice,
    weights: Floats,
) -> Floats:
    """(rows, coalitions of the half, leaves): weights times the half's bits and cover fractions."""
    rows = few.stop - few.start
    products = np.empty((rows, 2 ** len(half), len(weights)))
    products[:, 0] = weights
    for place, party in enumerate(half):
        size = 2**place
        bits = bits_by_party[party][few, leaves].astype(np.float64)
        np.multiply(products[:, :size], bits[:, None, :], out=products[:, size : 2 * size])
        products[:, :size] *= absent[party][leaves]
    return products
