"""The plaintext reference against known numbers, and against scoring by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fedchain.data.binning import BinMapper
from fedchain.data.builtin import BUILTIN_PARTIES, write_breast_cancer
from fedchain.data.csv import read_table
from fedchain.data.feature import BinnedFeature
from fedchain.data.holdout import stratified_holdout
from fedchain.data.ids import sort_ids
from fedchain.data.table import Table
from fedchain.errors import DataError
from fedchain.simulation.plaintext import BinMatrix, plaintext_auc, predict_proba
from tests.data_folder import real_data


def aligned(tables: list[Table]) -> tuple[list[BinMatrix], NDArray[np.float64], NDArray[np.bool_]]:
    common = sort_ids(set.intersection(*(set(table.ids) for table in tables)))
    tables = [table.take(common) for table in tables]
    labels = tables[0].label
    assert labels is not None
    holdout = stratified_holdout(labels, 0.2, 42)
    mappers = [BinMapper.from_table(table, np.flatnonzero(~holdout), 32) for table in tables]
    rows = np.arange(len(common))
    return (
        [(mapper.transform(t, rows), mapper.features) for mapper, t in zip(mappers, tables, strict=True)],
        labels,
        holdout,
    )


def test_telco_reaches_the_published_reference() -> None:
    tables = [
        read_table(real_data("telco/operator.csv"), id_column="id", label_column="Churn"),
        read_table(real_data("telco/media_partner.csv"), id_column="id"),
        read_table(real_data("telco/bank_partner.csv"), id_column="id"),
    ]
    matrices, labels, holdout = aligned(tables)
    assert plaintext_auc(matrices, labels, holdout) == pytest.approx(0.848, abs=0.003)
    assert plaintext_auc(matrices[:1], labels, holdout) == pytest.approx(0.800, abs=0.003)


def test_default_credit_reaches_the_published_reference() -> None:
    tables = [
        read_table(real_data("fate/default_credit_hetero_guest.csv"), id_column="id", label_column="y"),
        read_table(real_data("fate/default_credit_hetero_host.csv"), id_column="id"),
    ]
    matrices, labels, holdout = aligned(tables)
    assert plaintext_auc(matrices, labels, holdout) == pytest.approx(0.7793, abs=0.003)
    assert plaintext_auc(matrices[:1], labels, holdout) == pytest.approx(0.7300, abs=0.003)


def test_joining_the_built_in_case_beats_the_operator_alone_by_far(tmp_path: Path) -> None:
    write_breast_cancer(tmp_path)
    tables = [
        read_table(tmp_path / "operator.csv", id_column="id", label_column="diagnosis", positive="malignant"),
        *(read_table(tmp_path / f"{name}.csv", id_column="id") for name in BUILTIN_PARTIES[1:]),
    ]
    matrices, labels, holdout = aligned(tables)
    joined = plaintext_auc(matrices, labels, holdout)
    alone = plaintext_auc(matrices[:1], labels, holdout)
    assert joined > 0.95
    assert joined - alone > 0.03


def feature(n_bins: int, has_missing: bool = False) -> BinnedFeature:
    return BinnedFeature("x", "numeric", has_missing, tuple(float(cut) for cut in range(n_bins - 1)))


def test_one_stump_gives_the_leaf_weights_of_the_formula() -> None:
    bins = np.array([[0]] * 30 + [[1]] * 30, dtype=np.uint8, order="F")
    labels = np.array([1.0] * 6 + [0.0] * 24 + [1.0] * 24 + [0.0] * 6)
    scores = predict_proba(
        [(bins, [feature(2)])], labels, np.zeros(60, dtype=bool), trees=1, depth=1, learning_rate=0.5, l2=2.0
    )
    gradient, hessian = 30 * 0.5 - 6, 30 * 0.25  # base score 0.5
    weight = -0.5 * gradient / (hessian + 2.0)
    np.testing.assert_allclose(scores[[0, 59]], [1 / (1 + np.exp(-weight)), 1 / (1 + np.exp(weight))], rtol=1e-5)


def test_each_of_127_bins_and_the_missing_one_stays_its_own() -> None:
    bins = np.repeat(np.arange(128, dtype=np.uint8), 40)[:, None]
    labels = np.tile(np.arange(40) % 2, 128).astype(np.float64)
    for special in (0, 63, 126, 127):
        marked = np.where(bins[:, 0] == special, 1.0, labels)
        scores = predict_proba(
            [(bins, [feature(127, True)])], marked, np.zeros(len(bins), dtype=bool), trees=1, depth=2, learning_rate=1.0
        )
        assert (scores[bins[:, 0] == special] > scores[bins[:, 0] != special].max() + 0.1).all()


def test_held_out_rows_do_not_train() -> None:
    random = np.random.RandomState(0)
    bins = random.randint(0, 8, size=(200, 3)).astype(np.uint8)
    labels = (random.rand(200) < bins[:, 0] / 8).astype(np.float64)
    holdout = np.arange(200) < 50
    changed = np.where(holdout, 1 - labels, labels)
    matrix = [(bins, [feature(8)] * 3)]
    np.testing.assert_array_equal(predict_proba(matrix, labels, holdout), predict_proba(matrix, changed, holdout))


def test_shapes_that_disagree_are_errors() -> None:
    bins = np.zeros((4, 1), dtype=np.uint8)
    labels, none = np.array([0.0, 1.0, 0.0, 1.0]), np.zeros(4, dtype=bool)
    with pytest.raises(DataError, match="same rows"):
        predict_proba([(bins[:3], [feature(2)])], labels, none)
    with pytest.raises(DataError, match="one feature per column"):
        predict_proba([(bins, [])], labels, none)
    with pytest.raises(DataError, match="no features"):
        predict_proba([(bins[:, :0], [])], labels, none)
    with pytest.raises(DataError, match="lack a class"):
        plaintext_auc([(bins, [feature(2)])], labels, np.array([True, False, False, False]))


def test_rows_without_a_value_may_join_the_low_bins_in_one_split() -> None:
    bins = np.repeat(np.array([0, 1, 2], dtype=np.uint8), 40)[:, None]
    labels = (bins[:, 0] != 1).astype(np.float64)
    scores = predict_proba([(bins, [feature(2, True)])], labels, np.zeros(120, dtype=bool), trees=1, depth=1)
    assert scores[0] == scores[80] > scores[40]
