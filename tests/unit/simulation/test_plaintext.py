"""The plaintext reference against known numbers, and against scoring by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from fedchain.data.binning import BinMapper
from fedchain.data.builtin import BUILTIN_PARTIES, write_breast_cancer
from fedchain.data.csv import read_table
from fedchain.data.feature import BinnedFeature
from fedchain.data.holdout import stratified_holdout
from fedchain.data.ids import sort_ids
from fedchain.data.table import Table
from fedchain.errors import DataError
from fedchain.simulation.plaintext import BinMatrix, predict, xgboost_parameters
from fedchain.training.boosting.metrics import default_metric, metric_of
from fedchain.training.boosting.objectives import Objective, objective_of
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


def auc(matrices: list[BinMatrix], labels: NDArray[np.float64], holdout: NDArray[np.bool_]) -> float:
    return float(roc_auc_score(labels[holdout], predict(matrices, labels, holdout)[holdout]))


def test_telco_reaches_the_published_reference() -> None:
    tables = [
        read_table(real_data("telco/operator.csv"), id_column="id", label_column="Churn"),
        read_table(real_data("telco/media_partner.csv"), id_column="id"),
        read_table(real_data("telco/bank_partner.csv"), id_column="id"),
    ]
    matrices, labels, holdout = aligned(tables)
    assert auc(matrices, labels, holdout) == pytest.approx(0.848, abs=0.003)
    assert auc(matrices[:1], labels, holdout) == pytest.approx(0.800, abs=0.003)


def test_default_credit_reaches_the_published_reference() -> None:
    tables = [
        read_table(real_data("fate/default_credit_hetero_guest.csv"), id_column="id", label_column="y"),
        read_table(real_data("fate/default_credit_hetero_host.csv"), id_column="id"),
    ]
    matrices, labels, holdout = aligned(tables)
    assert auc(matrices, labels, holdout) == pytest.approx(0.7793, abs=0.003)
    assert auc(matrices[:1], labels, holdout) == pytest.approx(0.7300, abs=0.003)


def test_joining_the_built_in_case_beats_the_operator_alone_by_far(tmp_path: Path) -> None:
    write_breast_cancer(tmp_path)
    tables = [
        read_table(tmp_path / "operator.csv", id_column="id", label_column="diagnosis", positive="malignant"),
        *(read_table(tmp_path / f"{name}.csv", id_column="id") for name in BUILTIN_PARTIES[1:]),
    ]
    matrices, labels, holdout = aligned(tables)
    joined = auc(matrices, labels, holdout)
    alone = auc(matrices[:1], labels, holdout)
    assert joined > 0.95
    assert joined - alone > 0.03


def feature(n_bins: int, has_missing: bool = False) -> BinnedFeature:
    return BinnedFeature("x", "numeric", has_missing, tuple(float(cut) for cut in range(n_bins - 1)))


def test_one_stump_gives_the_leaf_weights_of_the_formula() -> None:
    bins = np.array([[0]] * 30 + [[1]] * 30, dtype=np.uint8, order="F")
    labels = np.array([1.0] * 6 + [0.0] * 24 + [1.0] * 24 + [0.0] * 6)
    scores = predict(
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
        scores = predict(
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
    np.testing.assert_array_equal(predict(matrix, labels, holdout), predict(matrix, changed, holdout))


def test_shapes_that_disagree_are_errors() -> None:
    bins = np.zeros((4, 1), dtype=np.uint8)
    labels, none = np.array([0.0, 1.0, 0.0, 1.0]), np.zeros(4, dtype=bool)
    with pytest.raises(DataError, match="same rows"):
        predict([(bins[:3], [feature(2)])], labels, none)
    with pytest.raises(DataError, match="one feature per column"):
        predict([(bins, [])], labels, none)
    with pytest.raises(DataError, match="no features"):
        predict([(bins[:, :0], [])], labels, none)


def test_rows_without_a_value_may_join_the_low_bins_in_one_split() -> None:
    bins = np.repeat(np.array([0, 1, 2], dtype=np.uint8), 40)[:, None]
    labels = (bins[:, 0] != 1).astype(np.float64)
    scores = predict([(bins, [feature(2, True)])], labels, np.zeros(120, dtype=bool), trees=1, depth=1)
    assert scores[0] == scores[80] > scores[40]


OBJECTIVES = {
    "binary": objective_of("binary"),
    "rare positives": objective_of("binary", scale_pos_weight=5.0),
    "classes": objective_of("multiclass", classes=3),
    "numbers": objective_of("squared_error"),
    "counts": objective_of("poisson"),
    "amounts": objective_of("tweedie", tweedie_variance_power=1.3),
}


def drawn(objective: Objective, rows: int = 400) -> tuple[BinMatrix, NDArray[np.float64], NDArray[np.float64]]:
    """A matrix with missing values, labels that hang on it, and weights."""
    random = np.random.default_rng(5)
    bins = random.integers(0, 8, size=(rows, 3)).astype(np.uint8)
    signal = bins[:, 0] / 7 - bins[:, 1] / 14
    bins[random.random(rows) < 0.1, 2] = 8
    labels = {
        "binary": (random.random(rows) < 0.2 + 0.5 * signal).astype(np.float64),
        "multiclass": np.clip(np.floor(3 * (signal + random.normal(size=rows) * 0.2)), 0, 2),
        "squared_error": 10 * signal + random.normal(size=rows),
        "poisson": random.poisson(np.exp(2 * signal)).astype(np.float64),
        "tweedie": random.poisson(np.exp(2 * signal)) * random.exponential(size=rows),
    }[objective.name]
    return (bins, [feature(8), feature(8), feature(8, True)]), labels, random.integers(0, 4, rows).astype(np.float64)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_predictions_are_those_of_xgboost_left_to_itself(name: str, weighted: bool) -> None:
    xgboost = pytest.importorskip("xgboost", minversion="3.1")  # earlier ones start from elsewhere
    objective = OBJECTIVES[name]
    (bins, features), labels, drawn_weights = drawn(objective)
    holdout = np.arange(len(labels)) % 4 == 0
    weights = drawn_weights if weighted else None
    found = predict([(bins, features)], labels, holdout, objective=objective, weights=weights, trees=8, l1=0.1)

    values = np.where(bins < 8, bins, np.nan)
    own = None if weights is None else weights[~holdout]
    settings = {"max_depth": 3, "learning_rate": 0.3, "reg_alpha": 0.1, "tree_method": "hist", "nthread": 1}
    data = xgboost.DMatrix(values[~holdout], label=labels[~holdout], weight=own)
    alone = xgboost.train({**settings, **xgboost_parameters(objective)}, data, num_boost_round=8)
    np.testing.assert_allclose(found, alone.predict(xgboost.DMatrix(values)), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_trees_predict_held_out_rows_better_than_the_base_margin(name: str) -> None:
    objective = OBJECTIVES[name]
    matrix, labels, _ = drawn(objective)
    holdout = np.arange(len(labels)) % 4 == 0
    found = predict([matrix], labels, holdout, objective=objective, trees=10, learning_rate=0.1)
    start = objective.predictions(np.tile(objective.base_margin(labels[~holdout]), (len(labels), 1)))
    assert found.shape == start.shape
    judged = "auc" if objective.name == "binary" else default_metric(objective.name)
    metric = metric_of(judged, objective.name, tweedie_variance_power=1.3)
    values = [metric.value(labels[holdout], each[holdout]) for each in (found, start)]
    assert metric.better(*values)
    assert abs(values[0] - values[1]) > 0.02 * abs(values[1])


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_a_row_of_weight_k_trains_as_k_rows(name: str) -> None:
    objective = OBJECTIVES[name]
    (bins, features), labels, weights = drawn(objective, 150)
    none = np.zeros(len(labels), dtype=bool)
    weighted = predict([(bins, features)], labels, none, objective=objective, weights=weights, trees=4)
    again = np.concatenate([np.arange(150), np.repeat(np.arange(150), weights.astype(int))])
    mask = np.arange(len(again)) < 150
    repeated = predict([(bins[again], features)], labels[again], mask, objective=objective, trees=4)
    np.testing.assert_allclose(weighted, repeated[:150], rtol=2e-4, atol=2e-5)


def test_growing_by_leaves_uses_no_more_leaves_than_allowed() -> None:
    matrix, labels, _ = drawn(OBJECTIVES["numbers"])
    none = np.zeros(len(labels), dtype=bool)
    options = {"objective": OBJECTIVES["numbers"], "trees": 1}
    by_leaf = predict([matrix], labels, none, depth=0, max_leaves=5, **options)
    assert len(np.unique(by_leaf)) == 5
    assert len(np.unique(predict([matrix], labels, none, depth=3, **options))) == 8


def test_labels_that_do_not_fit_the_objective_are_errors() -> None:
    matrix, labels, weights = drawn(OBJECTIVES["numbers"], 40)
    none = np.zeros(40, dtype=bool)
    with pytest.raises(DataError, match="expected counts"):
        predict([matrix], labels, none, objective=OBJECTIVES["counts"])
    with pytest.raises(DataError, match="weights and labels must have the same rows"):
        predict([matrix], labels, none, objective=OBJECTIVES["numbers"], weights=weights[:3])
