"""Block-permutation Shapley: shares for any model that can be asked what it says when a party's outputs are another
row's.

For a coalition S, the outputs of the absent parties (leaf bits, embeddings, partial scores: whatever each sends) are
cached ones of other held-out rows: all absent parties' blocks of a row come from one other row, so what they have in
common stays. Utility is minus the mean loss, averaged over some permutations. No retraining, no new message. Absent
parties keep the spread of their outputs, so predictions of a coalition are those of a model that does not know, not
of one that was trained without.

Source: Breiman 2001 for permuting what is left out; Covert, Lundberg and Lee 2021 (section 4.2, marginal removal).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.leaf_mask import Shares, shapley_e6
from fedchain.contribution.losses import E6, MOST_UNITS, utilities_e6

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Predict = Callable[[Mapping[int, Rows]], Floats]
"""From which row each absent party's outputs are taken, (rows,) each, to predictions: (rows,) or (rows, classes)."""


def block_permutation_shapley(
    predict: Predict, labels: Floats, parties: int, *, repeats: int, seed: int, unit: float = 1.0
) -> Shares:
    """Shares of all parties: 2^parties x `repeats` predictions of all held-out rows.

    Args:
        predict: called with the absent parties alone, by place on the roster; with none for the model itself.
        labels: (rows,); classes are numbered from 0.
        parties: 1 to 8.
        repeats: permutations per coalition, at least 1.
        seed: of the permutations; the same ones serve every coalition, which makes differences between them less noisy.
        unit: what squared errors are divided by, above 0 (`unit_of`).

    Raises:
        ValueError: out of range.
    """
    if not 1 <= parties <= 8 or repeats < 1 or unit <= 0 or not len(labels):
        raise ValueError("block permutation needs 1 to 8 parties, a permutation, a row, and a unit above 0")
    random = np.random.Generator(np.random.PCG64(seed))
    orders = [random.permutation(len(labels)) for _ in range(repeats)]
    sums = []
    for coalition in range(2**parties):
        absent = [party for party in range(parties) if not coalition >> party & 1]
        used = orders if absent else orders[:1]
        total = sum(_loss_e6(predict(dict.fromkeys(absent, order)), labels, unit) for order in used)
        sums.append((total + len(used) // 2) // len(used))
    utilities = utilities_e6(sums, len(labels))
    return Shares(utilities, shapley_e6(utilities), tuple(sums))


def _loss_e6(found: Floats, labels: Floats, unit: float) -> int:
    with np.errstate(over="ignore", invalid="ignore"):
        if found.ndim == 2:
            error = np.square(found - np.eye(found.shape[1])[labels.astype(np.int64)]).sum(axis=1)
        else:
            error = np.square(found - labels)
        capped = np.fmin(error / unit * E6, float(MOST_UNITS * E6))
    return int(np.rint(capped).astype(np.int64).sum(dtype=object))
