"""What an auditor recomputes of the opened rows, once all openings have led to their roots."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.covers import check_covers
from fedchain.contribution.losses import Losses, row_losses_e6
from fedchain.errors import ContributionError, ProtocolViolationError
from fedchain.model.leaf_mask import Bits, bit_count, require_decisions, unpack_bits, whole_bits
from fedchain.model.shard import Shard
from fedchain.types import AuditReason

TOLERANCE_E6 = 1
"""Another machine's sums of floats may round the other way."""
_MAX_UNIT_RATIO = 1e4
"""Of the unit and the variance of opened labels, either way: beyond, losses are all 0, or all cut off."""
_ENOUGH_LABELS = 30


def opened_bits(model: Shard, party: int, leaves: Sequence[bytes]) -> Bits:
    """A party's leaf bits of opened rows, spread over all leaves of all trees.

    Args:
        model: the open model.
        party: place on the roster.
        leaves: of each row as `check_rows` gives them.

    Returns:
        (rows, leaves of all trees) bool.

    Raises:
        ContributionError: not so many bits, some beyond them, or none that decisions at the party's nodes give; names
            the label holder, who had them checked before it evaluated; reason BITS.
    """
    count, name, culprit = bit_count(model, party), model.roster[party], model.roster[0]
    width = -(-count // 8)
    if any(len(leaf) != width for leaf in leaves) or (count % 8 and any(leaf[-1] >> count % 8 for leaf in leaves)):
        raise ContributionError(culprit, AuditReason.BITS, f"opened leaf bits of {name} that are not {count} per row")
    bits = unpack_bits(b"".join(leaves), len(leaves), count, culprit)
    try:
        require_decisions(model, party, bits, culprit)
    except ProtocolViolationError as error:
        raise ContributionError(culprit, AuditReason.BITS, f"opened bits of {name}: {error}") from error
    return whole_bits(model, party, bits)


def recheck_rows(
    model: Shard,
    bits_by_party: Sequence[Bits],
    labels: NDArray[np.float64],
    losses: Losses,
    unit: float,
    earlier_trees: int = 0,
    trained: int | None = None,
) -> None:
    """Compare opened losses with what the opened model, bits and labels give, up to one unit.

    Bits of several parties that lead a row nowhere are the label holder's fault: it had them all, and refuses such.

    Args:
        model: as `check_open_model` gives it.
        bits_by_party: (rows, leaves of all trees) bool each, roster order (`opened_bits`).
        labels: (rows,) as opened.
        losses: (rows, coalitions) int64 as opened.
        unit: as opened.
        earlier_trees: of the model that the job continued, else 0; their covers are not compared.
        trained: rows that each other tree was grown with, where that is known.

    Raises:
        ContributionError: names the label holder; reason LABELS where labels or unit are none for the objective, or the
            unit is far from the labels' variance (short of that, another unit scales all shares alike), SHAPES where
            bits do not lead each row to one leaf of each tree or covers cannot be true (`check_covers`), LOSSES where
            losses are others.
    """
    culprit = model.roster[0]
    classes = model.objective in ("binary", "multiclass")
    if not math.isfinite(unit) or unit <= 0 or (classes and unit != 1.0):
        raise ContributionError(culprit, AuditReason.LABELS, f"divides losses by {unit}")
    if not _valid_labels(model, labels):
        raise ContributionError(culprit, AuditReason.LABELS, "opened labels that are none of the job's objective")
    if not classes and len(labels) >= _ENOUGH_LABELS:
        spread = float(labels.var())
        if spread > 0 and not 1 / _MAX_UNIT_RATIO <= unit / spread <= _MAX_UNIT_RATIO:
            raise ContributionError(
                culprit, AuditReason.LABELS, f"divides losses by {unit:g}; opened labels have the variance {spread:g}"
            )
    reached = np.ones(bits_by_party[0].shape, dtype=bool)
    for bits in bits_by_party:
        reached &= bits
    start = 0
    for number, tree in enumerate(model.trees, start=1):
        stop = start + len(tree.weights)
        if not (reached[:, start:stop].sum(axis=1) == 1).all():
            raise ContributionError(
                culprit, AuditReason.SHAPES, f"opened a tree {number} in which the parties' bits lead to no one leaf"
            )
        start = stop
    check_covers(model, reached, earlier_trees, trained)
    found = row_losses_e6(model, bits_by_party, labels, unit)
    wrong = np.abs(found - losses) > TOLERANCE_E6
    if wrong.any():
        row, coalition = (int(one) for one in np.argwhere(wrong)[0])
        raise ContributionError(
            culprit,
            AuditReason.LOSSES,
            f"{int(wrong.any(axis=1).sum())} of {len(labels)} opened rows have other losses than it committed to; "
            f"the first, row {row + 1} of coalition {coalition}: "
            f"{losses[row, coalition]}, {found[row, coalition]} found",
        )


def _valid_labels(model: Shard, labels: NDArray[np.float64]) -> bool:
    if not np.isfinite(labels).all():
        return False
    if model.objective in ("binary", "multiclass"):
        classes = 2 if model.objective == "binary" else len(model.base_margins)
        return bool(np.isin(labels, np.arange(classes)).all())
    return model.objective == "squared_error" or bool((labels >= 0).all())
