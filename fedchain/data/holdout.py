"""Which rows are held out, and which only validate: drawn by the label holder from the job's seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedchain.errors import ConfigError, DataError

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class ThreeWay:
    """Three disjoint parts of the aligned rows, together all of them; each (n,) bool.

    Attributes:
        train: rows that enter histograms.
        validation: rows that early stopping is judged on; none where the job has no early stopping.
        holdout: rows that nothing looks at before training is over.
    """

    train: Mask
    validation: Mask
    holdout: Mask


def stratified_holdout(labels: ArrayLike, fraction: float, seed: int) -> Mask:
    """Hold out a fraction of the rows, with each class in proportion: `holdout` with ``stratified=True``."""
    return holdout(labels, fraction, seed, stratified=True)


def holdout(labels: ArrayLike, fraction: float, seed: int, stratified: bool) -> Mask:
    """Hold out a fraction of the rows.

    The same rows as scikit-learn's ``train_test_split(np.arange(n), test_size=fraction, random_state=seed)``, with
    ``stratify=labels`` if stratified, so that results compare with a plain notebook.

    Args:
        labels: (n,) label of each row, in aligned order; only their number matters unless stratified.
        fraction: of rows to hold out, strictly between 0 and 1.
        seed: 0 .. 2**32 - 1.
        stratified: each class in proportion, for binary labels and classes; else any rows, for numbers and counts.

    Returns:
        (n,) bool, True = held out. Drawn in proportion to labels if stratified; which rows are held out becomes public
        in training.

    Raises:
        ConfigError: fraction or seed out of range.
        DataError: too few rows to give both sides a row (of each class if stratified).
    """
    values = np.asarray(labels)
    if not 0.0 < fraction < 1.0:
        raise ConfigError(f"the held-out fraction is {fraction}, expected a number between 0 and 1, both excluded")
    _check_seed(seed)
    return _draw(values, fraction, seed, stratified, "held-out", f"hold out {fraction:g} of")


def three_way(
    labels: ArrayLike, holdout_fraction: float, validation_fraction: float, seed: int, stratified: bool
) -> ThreeWay:
    """Split rows into training, validation and held-out ones.

    The held-out rows are those of `holdout` with the same seed, whatever the validation fraction; validation rows are
    drawn from the others with the same seed.

    Args:
        labels: (n,) label of each row, in aligned order.
        holdout_fraction: of all rows, strictly between 0 and 1.
        validation_fraction: of all rows, at least 0; with `holdout_fraction` below 1. 0: no row validates.
        seed: 0 .. 2**32 - 1.
        stratified: as in `holdout`.

    Raises:
        ConfigError: a fraction or the seed out of range.
        DataError: too few rows to give every part a row (of each class if stratified).
    """
    values = np.asarray(labels)
    if not (validation_fraction >= 0.0 and holdout_fraction + validation_fraction < 1.0):
        raise ConfigError(
            f"the validation fraction is {validation_fraction} beside a held-out fraction of {holdout_fraction}, "
            "expected at least 0, and less than 1 together"
        )
    held_out = holdout(values, holdout_fraction, seed, stratified)
    validation = np.zeros(len(values), dtype=np.bool_)
    if validation_fraction > 0:
        others = np.flatnonzero(~held_out)
        count = max(1, round(validation_fraction * len(values)))
        what = f"validate on {validation_fraction:g} of all rows, drawn from"
        validation[others] = _draw(values[others], count, seed, stratified, "validation", what)
    return ThreeWay(~(held_out | validation), validation, held_out)


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise ConfigError(f"the split's seed is {seed}, expected 0 to {2**32 - 1}")


def _draw(values: NDArray[np.generic], size: float | int, seed: int, stratified: bool, name: str, what: str) -> Mask:
    """(n,) bool with `size` rows: a share if it is a float, else their number."""
    from sklearn.model_selection import train_test_split  # imported late: it takes a second

    counts = np.unique(values, return_counts=True)[1] if stratified else np.array([], dtype=np.int64)
    if stratified:
        if len(counts) < 2:
            raise DataError(f"cannot {what} {len(values)} aligned rows: they have {len(counts)} classes, need two")
        if counts.min() < 2:
            raise DataError(
                f"cannot {what} {len(values)} aligned rows: "
                f"the smaller class has {counts.min()} of {len(values)}, need at least 2"
            )
    try:
        _, drawn = train_test_split(
            np.arange(len(values)), test_size=size, stratify=values if stratified else None, random_state=seed
        )
    except ValueError as error:
        raise DataError(f"cannot {what} {len(values)} aligned rows: {error}") from error
    mask = np.zeros(len(values), dtype=np.bool_)
    mask[drawn] = True
    for part, side in (("training", values[~mask]), (name, values[mask])):
        if stratified and len(np.unique(side)) < len(counts):
            raise DataError(
                f"cannot {what} {len(values)} aligned rows: the {part} rows lack a class "
                f"(the smaller class has {counts.min()} rows); use another fraction, or more rows"
            )
    return mask
