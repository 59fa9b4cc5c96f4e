"""Metrics against scikit-learn and naive code; early stopping against XGBoost's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.errors import ConfigError, DataError, TrainingError
from fedchain.model.link import OBJECTIVES
from fedchain.training.boosting.metrics import METRICS, EarlyStopping, Metric, default_metric, metric_of

Floats = NDArray[np.float64]
Rows = list[tuple[int, float, float]]

PROBABILITIES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1))
WEIGHTS = st.one_of(st.sampled_from([0.0, 1.0, 2.0]), st.floats(0.01, 10))


@st.composite
def binary_rows(draw: st.DrawFn) -> tuple[Floats, Floats, Floats]:
    """Labels of both classes, each with some weight; probabilities with ties; weights with zeros."""
    rows = draw(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), PROBABILITIES, WEIGHTS), max_size=25))
    rows += [(0.0, draw(PROBABILITIES), 1.0), (1.0, draw(PROBABILITIES), 0.5)]
    labels, predictions, weights = (np.array(column) for column in zip(*rows, strict=True))
    return labels, predictions, weights


def peer(name: str) -> Callable[..., Any]:
    """scikit-learn's version."""
    import sklearn.metrics as peers

    return {
        "logloss": lambda y, p, w: peers.log_loss(y, p, sample_weight=w),
        "auc": lambda y, p, w: peers.roc_auc_score(y, p, sample_weight=w),
        "accuracy": lambda y, p, w: peers.accuracy_score(y, p > 0.5, sample_weight=w),
        "f1": lambda y, p, w: peers.f1_score(y, p > 0.5, sample_weight=w, zero_division=0),
        "rmse": lambda y, p, w: np.sqrt(peers.mean_squared_error(y, p, sample_weight=w)),
        "mae": lambda y, p, w: peers.mean_absolute_error(y, p, sample_weight=w),
        "poisson_deviance": lambda y, p, w: peers.mean_poisson_deviance(y, p, sample_weight=w),
    }[name]


@settings(deadline=None)
@given(binary_rows(), st.sampled_from(["logloss", "auc", "accuracy", "f1"]))
def test_binary_metrics_are_those_of_scikit_learn(rows: tuple[Floats, Floats, Floats], name: str) -> None:
    labels, predictions, _ = rows
    metric = metric_of(name, "binary")
    assert metric.value(*rows) == pytest.approx(peer(name)(*rows), rel=1e-9, abs=1e-12)
    even = np.ones(len(labels))
    assert metric.value(labels, predictions) == pytest.approx(peer(name)(labels, predictions, even), rel=1e-9)


@given(binary_rows())
def test_ks_is_the_largest_gap_between_shares_above_a_threshold(rows: tuple[Floats, Floats, Floats]) -> None:
    labels, scores, weights = rows
    gaps = []
    for threshold in scores:
        above = scores >= threshold
        shares = [weights[above & (labels == each)].sum() / weights[labels == each].sum() for each in (0.0, 1.0)]
        gaps.append(abs(shares[1] - shares[0]))
    assert metric_of("ks", "binary").value(*rows) == pytest.approx(max(gaps), rel=1e-9, abs=1e-12)


@given(binary_rows())
def test_auc_is_the_share_of_pairs_in_the_right_order(rows: tuple[Floats, Floats, Floats]) -> None:
    right = total = 0.0
    for y1, s1, w1 in zip(*rows, strict=True):
        for y0, s0, w0 in zip(*rows, strict=True):
            if y1 == 1 and y0 == 0:
                right += w1 * w0 * ((s1 > s0) + (s1 == s0) / 2)
                total += w1 * w0
    assert metric_of("auc", "binary").value(*rows) == pytest.approx(right / total, rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 5), st.integers(1, 30))
def test_metrics_of_several_classes_are_those_of_scikit_learn(seed: int, classes: int, rows: int) -> None:
    import sklearn.metrics as peers

    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.full(classes, 0.7), size=rows)
    labels, weights = random.integers(0, classes, rows).astype(np.float64), random.uniform(0.1, 2, rows)
    decided = shares.argmax(axis=1)
    expected = {
        "mlogloss": peers.log_loss(labels, shares, sample_weight=weights, labels=np.arange(classes)),
        "accuracy": peers.accuracy_score(labels, decided, sample_weight=weights),
        "f1": peers.f1_score(labels, decided, sample_weight=weights, average="macro", zero_division=0),
    }
    for name in METRICS["multiclass"]:
        found = metric_of(name, "multiclass").value(labels, shares, weights)
        assert found == pytest.approx(expected[name], rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(1e-3, 100), st.floats(0.01, 10)), min_size=1, max_size=30),
    st.floats(1.05, 1.95),
)
def test_metrics_of_numbers_are_those_of_scikit_learn(rows: Rows, power: float) -> None:
    from sklearn.metrics import mean_tweedie_deviance

    labels, means, weights = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    for name in ("rmse", "mae", "poisson_deviance"):
        found = metric_of(name, "poisson").value(labels, means, weights)
        assert found == pytest.approx(peer(name)(labels, means, weights), rel=1e-7, abs=1e-9)
    found = metric_of("tweedie_deviance", "tweedie", tweedie_variance_power=power).value(labels, means, weights)
    expected = mean_tweedie_deviance(labels, means, sample_weight=weights, power=power)
    assert found == pytest.approx(expected, rel=1e-7, abs=1e-7)


@given(st.data())
def test_no_metric_depends_on_the_order_of_rows(data: st.DataObject) -> None:
    labels, scores, weights = data.draw(binary_rows())
    order = np.array(data.draw(st.permutations(range(len(labels)))))
    for name in METRICS["binary"]:
        metric = metric_of(name, "binary")
        mixed = metric.value(labels[order], scores[order], weights[order])
        assert mixed == pytest.approx(metric.value(labels, scores, weights), rel=1e-12, abs=1e-14)


def test_certain_and_wrong_predictions_cost_much_but_not_infinitely() -> None:
    labels = np.array([0.0, 1.0])
    assert metric_of("logloss", "binary").value(labels, np.array([1.0, 0.0])) == pytest.approx(36.04, abs=0.01)
    wrong = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert metric_of("mlogloss", "multiclass").value(labels, wrong) == pytest.approx(36.04, abs=0.01)
    assert np.isfinite(metric_of("poisson_deviance", "poisson").value(labels, np.array([0.0, 0.0])))
    assert np.isfinite(metric_of("tweedie_deviance", "tweedie").value(labels, np.array([0.0, 0.0])))


def test_each_objective_has_a_default_that_its_loss_suggests_and_directions_are_right() -> None:
    defaults = [default_metric(name) for name in OBJECTIVES]
    assert defaults == ["logloss", "mlogloss", "rmse", "poisson_deviance", "tweedie_deviance"]
    higher = {name for each in OBJECTIVES for name in METRICS[each] if metric_of(name, each).higher_is_better}
    assert higher == {"auc", "ks", "accuracy", "f1"}
    assert metric_of("auc", "binary").better(0.8, 0.7)
    assert metric_of("rmse", "squared_error").better(0.7, 0.8)
    assert not metric_of("auc", "binary").better(0.8, 0.8)


def test_a_metric_of_another_objective_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="'auc' does not fit objective 'poisson'; it has poisson_deviance, rmse, mae"):
        metric_of("auc", "poisson")
    with pytest.raises(ConfigError, match="tweedie_variance_power is 2"):
        metric_of("tweedie_deviance", "tweedie", tweedie_variance_power=2)


def test_rows_that_cannot_be_judged_are_errors() -> None:
    auc = metric_of("auc", "binary")
    one = np.array([1.0, 1.0])
    with pytest.raises(DataError, match="rows of both classes"):
        auc.value(one, np.array([0.1, 0.2]))
    with pytest.raises(DataError, match="rows of both classes"):
        auc.value(np.array([0.0, 1.0]), np.array([0.1, 0.2]), np.array([0.0, 1.0]))
    with pytest.raises(DataError, match="weights of all rows are 0"):
        auc.value(np.array([0.0, 1.0]), np.array([0.1, 0.2]), np.zeros(2))
    with pytest.raises(DataError, match="same rows"):
        auc.value(one, np.array([0.1]))
    with pytest.raises(DataError, match="at least one"):
        auc.value(one[:0], one[:0])
    with pytest.raises(TrainingError, match="rmse is nan"):
        metric_of("rmse", "squared_error").value(one, np.array([np.nan, 0.0]))


VALUES = st.lists(st.one_of(st.sampled_from([0.5, 0.6, 0.7]), st.floats(-5, 5)), min_size=1, max_size=30)


def naive_stop(values: list[float], higher: bool, patience: int, min_delta: float) -> tuple[int, int | None]:
    """(best tree, tree after which to stop or None), by looking at all values so far anew each time."""
    for seen in range(1, len(values) + 1):
        best = 1
        for number in range(2, seen + 1):
            gain = values[number - 1] - values[best - 1]
            if (gain if higher else -gain) > min_delta:
                best = number
        if seen - best >= patience:
            return best, seen
    return best, None


@given(VALUES, st.booleans(), st.integers(1, 6), st.sampled_from([0.0, 0.125, 1.0]))
def test_it_stops_once_no_value_was_better_for_the_patience(
    values: list[float], higher: bool, patience: int, min_delta: float
) -> None:
    exact = [float(np.round(value * 64) / 64) for value in values]  # so that both ways of comparing agree
    state = EarlyStopping(metric_of("auc" if higher else "logloss", "binary"), patience, min_delta)
    stopped = next((number for number, value in enumerate(exact, start=1) if state.update(value)), None)
    assert (state.best_tree, stopped) == naive_stop(exact, higher, patience, min_delta)
    assert state.best_value == exact[state.best_tree - 1]
    assert state.seen == (stopped or len(exact))


@pytest.mark.parametrize("higher", [False, True])
@pytest.mark.parametrize("min_delta", [0.0, 0.03])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_stops_where_xgboost_does(higher: bool, min_delta: float, seed: int) -> None:
    import xgboost

    values = np.random.default_rng(seed).normal(size=60).cumsum() / 10
    fed = iter(values.tolist())
    random = np.random.default_rng(0)
    data = xgboost.DMatrix(random.normal(size=(50, 2)), label=random.integers(0, 2, 50))
    rule = xgboost.callback.EarlyStopping(rounds=4, maximize=higher, min_delta=min_delta, metric_name="fed")
    booster = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 1, "nthread": 1, "disable_default_eval_metric": True},
        data,
        num_boost_round=60,
        evals=[(data, "validation")],
        custom_metric=lambda _predictions, _data: ("fed", next(fed)),
        callbacks=[rule],
        verbose_eval=False,
    )
    state = EarlyStopping(metric_of("auc" if higher else "logloss", "binary"), 4, min_delta)
    stopped = next((number for number, value in enumerate(values, start=1) if state.update(float(value))), 60)
    assert state.best_tree == booster.best_iteration + 1
    assert stopped == booster.num_boosted_rounds() < 60


def test_state_kept_in_a_checkpoint_goes_on_as_if_never_stopped() -> None:
    metric = metric_of("rmse", "squared_error")
    values = [3.0, 2.0, 2.5, 2.2, 1.9, 2.0, 2.1, 2.3]
    whole = EarlyStopping(metric, 3)
    expected = [whole.update(value) for value in values]
    first = EarlyStopping(metric, 3)
    found = [first.update(value) for value in values[:4]]
    second = EarlyStopping(metric, 3, 0.0, first.seen, first.best_tree, first.best_value)
    found += [second.update(value) for value in values[4:]]
    assert found == expected == [False] * 7 + [True]
    assert second == whole
    assert whole.best_tree == 5


@pytest.mark.parametrize(("patience", "min_delta"), [(0, 0.0), (1, -0.1), (1, float("nan")), (1, float("inf"))])
def test_settings_that_cannot_stop_sensibly_are_refused(patience: int, min_delta: float) -> None:
    with pytest.raises(ConfigError, match="expected"):
        EarlyStopping(metric_of("auc", "binary"), patience, min_delta)


def test_a_value_that_is_no_number_is_an_error() -> None:
    metric: Metric = metric_of("auc", "binary")
    with pytest.raises(TrainingError, match="auc is nan after 1 trees"):
        EarlyStopping(metric, 2).update(float("nan"))
