"""What the joined plaintext gives, beside a federation of the same tables: for the demo, benchmarks and tests.

It needs every party's rows in one place, which a federation exists to avoid; no node runs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.data.binning import BinMapper
from fedchain.data.holdout import stratified_holdout
from fedchain.data.ids import sort_ids
from fedchain.data.table import Table
from fedchain.errors import AlignmentError, DataError
from fedchain.federation.spec import JobSpec
from fedchain.simulation.plaintext import BinMatrix, plaintext_auc
from fedchain.types import PartyId


@dataclass(frozen=True)
class Reference:
    """Plaintext results on the rows, bins and held-out rows of a job.

    Attributes:
        ids: common ids in aligned order.
        labels: of these rows.
        holdout: which of them never train.
        auc_plaintext: XGBoost on the joined bins of all parties.
        auc_active_only: XGBoost on the active party's bins; 0.5 where it has no feature.
    """

    ids: tuple[str, ...]
    labels: NDArray[np.float64]
    holdout: NDArray[np.bool_]
    auc_plaintext: float
    auc_active_only: float


def plaintext_reference(spec: JobSpec, tables: Mapping[PartyId, Table]) -> Reference:
    """Join the tables in plaintext and train XGBoost with the job's bins, rows, leaf minima and hyperparameters.

    Raises:
        AlignmentError: fewer common rows than the job asks for.
        DataError: no labels or no features.
    """
    common = set.intersection(*(set(tables[name].ids) for name in spec.names))
    if len(common) < spec.alignment.min_rows:
        raise AlignmentError(
            f"{len(common)} ids are common to all {len(spec.names)} parties, "
            f"the job asks for at least {spec.alignment.min_rows}"
        )
    ids = tuple(sort_ids(common))
    active = tables[spec.names[0]]
    if active.label is None:
        raise DataError(f"{active.source}: the active party needs labels")
    labels = active.label[active.rows_of(ids)]
    holdout = stratified_holdout(labels, spec.holdout.fraction, spec.holdout.seed)
    matrices = [_binned(tables[name], ids, spec.algorithm.bins) for name in spec.names]
    params = spec.algorithm
    settings = {
        "learning_rate": params.learning_rate,
        "l2": params.l2,
        "gamma": params.gamma,
        "min_child_weight": params.min_child_weight,
    }
    joined = plaintext_auc(matrices, labels, holdout, trees=params.trees, depth=params.depth, **settings)
    alone = 0.5
    if matrices[0][1]:
        alone = plaintext_auc(matrices[:1], labels, holdout, trees=params.trees, depth=params.depth, **settings)
    return Reference(ids, labels, holdout, joined, alone)


def _binned(table: Table, ids: tuple[str, ...], bins: int) -> BinMatrix:
    rows = table.rows_of(ids)
    mapper = BinMapper.from_table(table, rows, bins)
    return mapper.transform(table, rows), mapper.features
