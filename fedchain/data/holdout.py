"""Which rows are held out: drawn by the label holder from the job's seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedchain.errors import ConfigError, DataError


def stratified_holdout(labels: ArrayLike, fraction: float, seed: int) -> NDArray[np.bool_]:
    """Hold out a fraction of the rows, with each class in proportion.

    The same rows as scikit-learn's ``train_test_split(np.arange(n), test_size=fraction, stratify=labels,
    random_state=seed)``, so that results compare with a plain notebook.

    Args:
        labels: (n,) class of each row, in aligned order.
        fraction: of rows to hold out, strictly between 0 and 1.
        seed: 0 .. 2**32 - 1.

    Returns:
        (n,) bool, True = held out. Drawn in proportion to labels; which rows are held out becomes public in training.

    Raises:
        ConfigError: fraction or seed out of range.
        DataError: too few rows to give both sides a row of each class.
    """
    from sklearn.model_selection import train_test_split  # imported late: it takes a second

    values = np.asarray(labels)
    if not 0.0 < fraction < 1.0:
        raise ConfigError(f"the held-out fraction is {fraction}, expected a number between 0 and 1, both excluded")
    if not 0 <= seed < 2**32:
        raise ConfigError(f"the split's seed is {seed}, expected 0 to {2**32 - 1}")
    _, counts = np.unique(values, return_counts=True)
    if len(counts) < 2:
        raise DataError(f"cannot hold out rows: {len(values)} aligned rows have {len(counts)} classes, need two")
    if counts.min() < 2:
        raise DataError(
            f"cannot hold out rows: the smaller class has {counts.min()} of {len(values)} aligned rows, need at least 2"
        )
    try:
        _, held_out = train_test_split(np.arange(len(values)), test_size=fraction, stratify=values, random_state=seed)
    except ValueError as error:
        raise DataError(f"cannot hold out {fraction:g} of {len(values)} aligned rows: {error}") from error
    mask = np.zeros(len(values), dtype=np.bool_)
    mask[held_out] = True
    for name, side in (("training", values[~mask]), ("held-out", values[mask])):
        if len(np.unique(side)) < len(counts):
            raise DataError(
                f"cannot hold out {fraction:g} of {len(values)} aligned rows: the {name} rows lack a class "
                f"(the smaller class has {counts.min()} rows); use another fraction, or more rows"
            )
    return mask
