"""How often an audit catches a label holder that tampers with rows: the whole of an auditor's check, many times over.

A made-up model's losses are changed in a share of the rows, at random, as far as they can be in the label holder's
favour; the loss tree is built from the changed losses, so that root and posted sums fit each other. Then, trial after
trial, another seed draws rows, they are opened, checked against root and sums, and recomputed. A trial catches where
that is refused. With t of n rows tampered and k opened it does with probability 1 - C(n - t, k) / C(n, k): 95 % at
k = 299 and 99 % at k = 459 of 1 %.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

from fedchain.bench.models import made_up_model
from fedchain.contribution.loss_tree import LossTree, check_losses
from fedchain.contribution.losses import MOST_BRIER_E6, row_losses_e6
from fedchain.contribution.open_model import open_model
from fedchain.contribution.recheck import recheck_rows
from fedchain.contribution.sampling import sample_rows
from fedchain.errors import ContributionError
from fedchain.types import AuditReason

PARTIES, TREES, DEPTH = 2, 5, 3


def tamper_catch_rate(
    opened_rows: int, *, rows: int = 6000, tampered: float = 0.01, trials: int = 400, seed: int = 1
) -> float:
    """The share of audits that catch it; about 5 milliseconds for each.

    Args:
        opened_rows: that an audit opens.
        rows: held-out ones.
        tampered: share of the rows whose losses are others; 0 tells how often an honest label holder is accused.
        trials: audits, each with a seed and opened rows of its own.
        seed: of the model, of which rows are tampered with, and of the audits.
    """
    made = made_up_model(PARTIES, rows=rows, trees=TREES, depth=DEPTH, seed=seed)
    random = np.random.Generator(np.random.PCG64(seed))
    losses = row_losses_e6(made.shards[0], made.bits, made.labels, 1.0)
    changed = random.permutation(rows)[: round(tampered * rows)]
    coalitions = np.arange(losses.shape[1])
    losses[changed] = np.where(
        coalitions & 1, 0, MOST_BRIER_E6["binary"]
    )  # as if with it all were right, without wrong
    tree = LossTree(losses, random.bytes(32))
    opened = open_model(made.shards[0])
    caught = 0
    for trial in range(trials):
        audit = hashlib.sha256(tree.root + seed.to_bytes(8, "big") + trial.to_bytes(8, "big")).digest()
        indices = sample_rows(audit, rows, opened_rows)
        shown = check_losses(
            tree.root, tree.sums, rows, indices, tree.open(indices), opened.party, most=MOST_BRIER_E6["binary"]
        )
        try:
            recheck_rows(opened, [bits[indices] for bits in made.bits], made.labels[indices], shown, 1.0)
        except ContributionError as error:
            caught += error.reason is AuditReason.LOSSES
    return caught / trials


def expected_catch_rate(opened_rows: int, *, rows: int = 6000, tampered: float = 0.01) -> float:
    """What the draw without replacement should give: 1 - C(n - t, k) / C(n, k)."""
    honest = rows - round(tampered * rows)
    return 1 - math.comb(honest, opened_rows) / math.comb(rows, opened_rows)
