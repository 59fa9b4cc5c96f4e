"""Conditional shares: what a coalition's decisions tell of the whole model's output, learned from the held-out rows.

Utility of a coalition S is minus the mean loss of E[f | decisions of S], the best guess of the model's margin f by who
knows the leaf bits of S's members alone. It is fitted, not retrained: what leaf masks leave of f is guessed by ridge
regression on the leading principal components of each member's leaf bits, cross-fitted, so that no row has a say in its
own guess. Labels are not used but for the losses. What parties have in common is so shared out between them: a party
whose columns stand in for another's is worth what it tells of the model, although the trees split on the other's. That
comes near to retraining without a party, where leaf masks alone do not (docs/explanation/contribution-cost.md).

Every guess follows from all held-out rows, so no audit can recompute it from some: a job that pays has leaf masks.

Source: Covert, Lundberg and Lee 2021 (section 5.2: conditional removal, approximated by a surrogate that is fitted to
the model's output); Halko, Martinsson and Tropp 2011 for the components (one power iteration, fixed directions).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.leaf_mask import Shares, running_ends, shapley_e6
from fedchain.contribution.losses import loss_sums, losses_of_margins, unit_of, utilities_e6
from fedchain.model.leaf_mask import Bits, absent_factors, leaf_weights, tree_starts
from fedchain.model.shard import Shard

Floats = NDArray[np.float64]

COMPONENTS = 64
"""Of each party's leaf bits, at most."""

FOLDS = 5
"""A row is guessed by what was fitted to the rows of the other four."""

RIDGE = 1e-3
"""Times rows, where the variance of a party's first component is 1."""

_MORE = 16
"""Directions beside those that are kept, for accuracy."""
_COLUMNS = 1024
"""Leaf bits that are looked at at a time."""


def conditional_shapley(shard: Shard, bits_by_party: Sequence[Bits], labels: Floats) -> Shares:
    """Shares of all parties, at the end and along the rounds.

    6,000 rows, 50 trees of 32 leaves take a second or two for 3 parties, half a minute for 8.

    Args:
        shard: the active party's.
        bits_by_party: (held-out rows, leaves of all trees) bool each, roster order; they lead each row to one leaf.
        labels: (held-out rows,) as trained: classes are numbered from 0.

    Raises:
        ValueError: fewer than two rows, or not 1 to 8 parties.
    """
    rows, parties = len(labels), len(bits_by_party)
    if rows < 2 or not 1 <= parties <= 8:
        raise ValueError("conditional shares need 1 to 8 parties and two rows or more")
    running, unit = running_ends(shard), unit_of(shard.objective, labels)
    ends = running or [0]
    whole = masked_margins(shard, bits_by_party, range(parties), ends)
    guesses = _Guesses([components(bits) for bits in bits_by_party], rows)
    sums: list[tuple[int, ...]] = []
    for coalition in range(2**parties):
        members = [party for party in range(parties) if coalition >> party & 1]
        guess = whole
        if len(members) < parties:
            guess = masked_margins(shard, bits_by_party, members, ends)
            guess += guesses.of(members, (whole - guess).reshape(rows, -1)).reshape(whole.shape)
        sums.append(loss_sums(losses_of_margins(shard, guess, labels, unit)))
    points = list(zip(*sums, strict=True))
    utilities = [utilities_e6(point, rows) for point in points]
    shares = tuple(shapley_e6(one) for one in utilities)
    return Shares(utilities[-1], shares[-1], points[-1], shares if running else ())


def masked_margins(shard: Shard, bits_by_party: Sequence[Bits], members: Sequence[int], ends: Sequence[int]) -> Floats:
    """Margins by leaf masks of one coalition, after some first trees of the model.

    Args:
        shard, bits_by_party: as in `conditional_shapley`.
        members: places on the roster.
        ends: numbers of trees, ascending, 0 or more.

    Returns:
        (rows, ends, outputs).
    """
    starts, weights, rows = tree_starts(shard), leaf_weights(shard), len(bits_by_party[0])
    for party in set(range(len(bits_by_party))) - set(members):
        weights = weights * absent_factors(shard, party)
    outputs = np.repeat([tree.output for tree in shard.trees], np.diff(starts)).astype(np.int64)
    by_output = weights[:, None] * (outputs[:, None] == np.arange(len(shard.base_margins)))
    margins = np.empty((rows, len(ends), len(shard.base_margins)))
    so_far = np.tile(np.asarray(shard.base_margins, dtype=np.float64), (rows, 1))
    for place, (first, last) in enumerate(pairwise((0, *ends))):
        leaves = slice(int(starts[first]), int(starts[last]))
        common = np.ones((rows, leaves.stop - leaves.start), dtype=bool)
        for party in members:
            common &= bits_by_party[party][:, leaves]
        so_far += common @ by_output[leaves]
        margins[:, place] = so_far
    return margins


def components(bits: Bits) -> Floats:
    """Leading principal components of a party's leaf bits.

    Args:
        bits: (rows, leaves) bool.

    Returns:
        (rows, at most `COMPONENTS`), centred, the first one's variance 1; none where all rows have the same bits.
    """
    rows = len(bits)
    size = min(COMPONENTS + _MORE, rows)
    directions = np.random.Generator(np.random.PCG64(rows)).standard_normal((rows, size))
    for _ in range(2):
        found = np.zeros((rows, size))
        for block in _centred(bits):
            found += block @ (block.T @ directions)
        directions, _ = np.linalg.qr(found)
    inner = np.zeros((size, size))
    for block in _centred(bits):
        part = directions.T @ block
        inner += part @ part.T
    spread, turn = np.linalg.eigh(inner)
    order = np.argsort(-spread, kind="stable")[:COMPONENTS]
    order = order[spread[order] > max(float(spread.max()), 1.0) * 1e-9]
    if not len(order):
        return np.zeros((rows, 0))
    scaled: Floats = directions @ turn[:, order] * np.sqrt(spread[order] / spread[order[0]] * rows)
    return scaled


def _centred(bits: Bits) -> Iterator[Floats]:
    for first in range(0, bits.shape[1], _COLUMNS):
        block = bits[:, first : first + _COLUMNS].astype(np.float64)
        yield block - block.mean(axis=0)


class _Guesses:
    """Cross-fitted guesses of anything by the components of some parties."""

    def __init__(self, by_party: Sequence[Floats], rows: int) -> None:
        self._x = np.concatenate(by_party, axis=1)
        stops = np.cumsum([0, *(one.shape[1] for one in by_party)])
        self._places = [np.arange(start, stop) for start, stop in pairwise(stops.tolist())]
        self._folds = [slice(number, None, FOLDS) for number in range(min(FOLDS, rows))]
        whole = self._x.T @ self._x
        self._inner = [whole - self._x[fold].T @ self._x[fold] for fold in self._folds]
        self._sums = [self._x.sum(axis=0) - self._x[fold].sum(axis=0) for fold in self._folds]

    def of(self, members: Sequence[int], targets: Floats) -> Floats:
        """(rows, targets) likewise; by nobody's components the mean of the other folds."""
        places = np.concatenate([self._places[party] for party in members]) if members else np.zeros(0, dtype=np.int64)
        x = self._x[:, places]
        outer, total = x.T @ targets, targets.sum(axis=0)
        guessed = np.empty_like(targets)
        for fold, inner, sums in zip(self._folds, self._inner, self._sums, strict=True):
            few = targets[fold]
            rows = len(targets) - len(few)
            x_mean, mean = sums[places] / rows, (total - few.sum(axis=0)) / rows
            moments = inner[np.ix_(places, places)] - rows * np.outer(x_mean, x_mean)
            moments[np.diag_indices_from(moments)] += RIDGE * rows
            slopes = np.linalg.solve(moments, outer - x[fold].T @ few - rows * np.outer(x_mean, mean))
            guessed[fold] = mean + (x[fold] - x_mean) @ slopes
        return guessed
