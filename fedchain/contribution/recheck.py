"""What an auditor recomputes of the opened rows, once all openings have led to their roots."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.contribution.covers import check_covers
from fedchain.contribution.losses import E6, MOST_UNITS, Losses, constant_prediction, row_losses_e6
from fedchain.errors import ContributionError, ProtocolViolationError
from fedchain.model.leaf_mask import Bits, bit_count, require_decisions, unpack_bits, whole_bits
from fedchain.model.shard import Shard
from fedchain.types import AuditReason

TOLERANCE_E6 = 1
"""Another machine's sums of floats may round the other way."""
_MAX_UNIT_RATIO = 1e4
"""Of the unit and the variance of opened labels, either way: beyond, losses are all 0, or all cut off."""
_ROUNDING = 2e-6
_OFF_BY, _WITHIN = 10, 5
"""Standard errors that the mean of opened labels may be off, of any labels, and those within which it says nothing."""
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
            unit is far from the opened labels' variance (`check_unit` says more, by all rows), SHAPES where bits do not
            lead each row to one leaf of each tree or covers cannot be true (`check_covers`), LOSSES where losses are
            others.
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


def check_unit(model: Shard, labels: NDArray[np.float64], unit: float, losses_of_nobody: int, rows: int) -> None:
    """Compare the unit of numbers and counts with what the losses of the empty coalition, of all rows, say of it.

    Losses are capped at 100 units, so a unit that is too small cuts off most rows and decides by the rest who is paid.
    Without any party all rows have one prediction, so the mean of their losses is 1, the labels' variance in units,
    plus the squared distance of that prediction from the labels' mean, which the opened labels estimate; less where
    single rows are capped, but 100 of all rows remain of the heaviest tail. Hence a unit passes that is at most
    1 + 225 / opened rows times too small (not at all, where all rows are opened), somewhat more if the prediction is
    spreads away from the labels' mean. One that is too large, up to rows / 100 times, scales all shares alike.

    Args:
        model: as `check_open_model` gives it.
        labels: (opened rows,).
        unit: as opened.
        losses_of_nobody: sum over all rows as posted, times 1e6 (`loss_sums`, coalition 0).
        rows: all that are held out.

    Raises:
        ContributionError: names the label holder; reason LABELS.
    """
    if model.objective in ("binary", "multiclass"):
        return
    opened, mean = len(labels), losses_of_nobody / rows / E6
    root = math.sqrt(max(0.0, 1 / opened - 1 / rows))
    with np.errstate(over="ignore", invalid="ignore"):  # of models that have diverged: then nothing can be said
        distance = abs(float(labels.mean()) - constant_prediction(model)) - _WITHIN * float(labels.std()) * root
        away = (max(0.0, distance) if math.isfinite(distance) else math.inf) / math.sqrt(unit)
    most = 1 + math.pow(min(away + (_OFF_BY + _WITHIN) * root, 1e9), 2)
    is_constant = unit == 1.0 and float(np.ptp(labels)) == 0
    least = 0.0 if is_constant else min(1.0, MOST_UNITS / rows)
    if mean > most * (1 + _ROUNDING) + _ROUNDING or mean < least * (1 - _ROUNDING) - _ROUNDING:
        raise ContributionError(
            model.roster[0],
            AuditReason.LABELS,
            f"divides losses by {unit:g}; without any party they are {mean:g} on average, {least:g} to {most:g} "
            "if that were the labels' variance",
        )
