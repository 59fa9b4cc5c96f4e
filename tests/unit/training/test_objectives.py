"""Objectives against XGBoost, against finite differences, and what they say of labels that do not fit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.data.label import MAX_CLASSES
from fedchain.errors import ConfigError, DataError, ModelFormatError, TrainingError
from fedchain.model.link import OBJECTIVES, predictions, sigmoid, softmax
from fedchain.training.boosting.objectives import Objective, objective_of

Floats = NDArray[np.float64]
ROWS = 300

CASES: dict[str, tuple[Objective, dict[str, Any]]] = {
    "binary": (objective_of("binary"), {"objective": "binary:logistic"}),
    "binary, rare positives": (
        objective_of("binary", scale_pos_weight=7.5),
        {"objective": "binary:logistic", "scale_pos_weight": 7.5},
    ),
    "multiclass": (objective_of("multiclass", classes=4), {"objective": "multi:softprob", "num_class": 4}),
    "two classes by softmax": (objective_of("multiclass"), {"objective": "multi:softprob", "num_class": 2}),
    "squared error": (objective_of("squared_error"), {"objective": "reg:squarederror"}),
    "poisson": (objective_of("poisson"), {"objective": "count:poisson"}),
    "poisson, small steps": (
        objective_of("poisson", max_delta_step=0.2),
        {"objective": "count:poisson", "max_delta_step": 0.2},
    ),
    "tweedie": (objective_of("tweedie"), {"objective": "reg:tweedie"}),
    "tweedie, power 1.2": (
        objective_of("tweedie", tweedie_variance_power=1.2),
        {"objective": "reg:tweedie", "tweedie_variance_power": 1.2},
    ),
}


def labels_for(objective: Objective, groups: NDArray[np.int64], random: np.random.Generator) -> Floats:
    """Labels that hang on the group, valid for the objective."""
    if objective.name == "binary":
        return (random.random(len(groups)) < np.array([0.08, 0.3])[groups]).astype(np.float64)
    if objective.name == "multiclass":
        shares = np.array([[0.55, 0.3, 0.1, 0.05], [0.15, 0.3, 0.45, 0.1]])[:, : objective.columns]
        return np.array([random.choice(objective.columns, p=shares[g] / shares[g].sum()) for g in groups], dtype=float)
    if objective.name == "squared_error":
        return random.normal(size=len(groups)) * 3 + 5 * groups
    counts = random.poisson(np.array([0.5, 20.0])[groups]).astype(np.float64)
    return counts if objective.name == "poisson" else counts * random.random(len(groups))


def xgboost_rounds(
    settings_: dict[str, Any], column: Floats, labels: Floats, weights: Floats, rounds: int, l2: float
) -> tuple[Floats, list[Floats]]:
    """XGBoost's own intercept (as its model says it), and its margins after each round of stumps."""
    import xgboost

    data = xgboost.DMatrix(column[:, None], label=labels, weight=weights)
    parameters = {"tree_method": "hist", "max_depth": 1, "learning_rate": 1.0, "reg_lambda": l2, "nthread": 1}
    booster = xgboost.train({**parameters, "min_child_weight": 0, **settings_}, data, num_boost_round=rounds)
    model = json.loads(booster.save_raw("json"))["learner"]["learner_model_param"]
    margins = [
        np.asarray(booster.predict(data, output_margin=True, iteration_range=(0, number + 1)), dtype=np.float64)
        for number in range(rounds)
    ]
    return np.array(json.loads(model["base_score"].replace("E", "e")), dtype=np.float64).ravel(), margins


def stump(groups: NDArray[np.int64], gradient: Floats, hessian: Floats, l2: float, bound: float) -> Floats:
    """What one tree per column adds to each row: a leaf per group, or one leaf if that does not gain."""
    added = np.empty_like(gradient)
    for column in range(gradient.shape[1]):

        def leaf(rows: NDArray[np.bool_], column: int = column) -> tuple[float, float]:
            g, h = gradient[rows, column].sum(), hessian[rows, column].sum() + l2
            weight = -g / h if not bound else float(np.clip(-g / h, -bound, bound))
            return weight, -(2 * g * weight + h * weight**2)

        parts, whole = [leaf(groups == group) for group in (0, 1)], leaf(groups >= 0)
        splits = parts[0][1] + parts[1][1] - whole[1] > 1e-6
        added[:, column] = np.where(groups == 0, parts[0][0], parts[1][0]) if splits else whole[0]
    return added


def mean_of_base(objective: Objective) -> Any:
    """From a margin to what XGBoost keeps as base_score."""
    return {"binary": sigmoid, "poisson": np.exp, "tweedie": np.exp}.get(objective.name, lambda margin: margin)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("case", list(CASES))
def test_intercept_and_the_leaves_of_three_rounds_of_stumps_are_those_of_xgboost(case: str, weighted: bool) -> None:
    pytest.importorskip("xgboost", minversion="3.1")  # earlier ones have other intercepts
    objective, parameters = CASES[case]
    random = np.random.default_rng(len(case))
    groups = random.integers(0, 2, ROWS)
    labels = labels_for(objective, groups, random)
    objective.validate_labels(labels)
    weights = random.uniform(0.1, 3, ROWS) if weighted else np.ones(ROWS)
    l2 = 1.5
    base_score, margins = xgboost_rounds(parameters, groups.astype(np.float64), labels, weights, 3, l2)

    base = objective.base_margin(labels, weights if weighted else None)
    assert base.shape == (objective.columns,)
    np.testing.assert_allclose(mean_of_base(objective)(base), base_score, rtol=1e-5, atol=1e-5)

    margin = np.tile(base, (ROWS, 1))
    for expected in margins:
        gradient, hessian = objective.gradients(margin, labels, weights if weighted else None)
        assert gradient.shape == hessian.shape == (ROWS, objective.columns)
        margin = margin + stump(groups, gradient, hessian, l2, objective.max_delta_step)
        np.testing.assert_allclose(margin, expected.reshape(ROWS, -1), rtol=1e-5, atol=1e-5)
    if objective.name == "poisson":  # the bound on steps was put to the test
        assert np.abs(margin - base).max() > 1.5 * objective.max_delta_step


def loss(objective: Objective, margin: Floats, label: float) -> float:
    """The textbook loss of one row."""
    if objective.name == "binary":
        return float(np.logaddexp(0, margin[0]) - label * margin[0])
    if objective.name == "multiclass":
        return float(np.log(np.exp(margin).sum()) - margin[int(label)])
    if objective.name == "squared_error":
        return float((margin[0] - label) ** 2 / 2)
    mean = np.exp(margin[0])
    if objective.name == "poisson":
        return float(mean - label * margin[0])
    power = objective.variance_power  # type: ignore[attr-defined]
    return float(-label * mean ** (1 - power) / (1 - power) + mean ** (2 - power) / (2 - power))


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(list(CASES)), st.data())
def test_gradients_are_the_derivatives_of_the_loss(case: str, data: st.DataObject) -> None:
    objective = CASES[case][0]
    columns = objective.columns
    margin = np.array(data.draw(st.lists(st.floats(-4, 4), min_size=columns, max_size=columns)))
    top = {"binary": 1, "multiclass": columns - 1}.get(objective.name, 20)
    label = float(data.draw(st.integers(0, top)))
    weight = data.draw(st.floats(0.01, 100))
    gradient, hessian = objective.gradients(margin[None], np.array([label]), np.array([weight]))
    scale = weight * (objective.scale_pos_weight if label == 1 else 1.0) if objective.name == "binary" else weight  # type: ignore[attr-defined]
    step = 1e-4
    for column in range(columns):
        shift = np.eye(columns)[column] * step
        up, middle, down = (loss(objective, margin + sign * shift, label) for sign in (1, 0, -1))
        assert gradient[0, column] == pytest.approx(scale * (up - down) / (2 * step), rel=1e-4, abs=scale * 1e-4)
        second = scale * (up - 2 * middle + down) / step**2
        factor = {"multiclass": 2.0, "poisson": float(np.exp(objective.max_delta_step))}.get(objective.name, 1.0)
        assert hessian[0, column] == pytest.approx(factor * second, rel=1e-3, abs=scale * 1e-3)


@given(st.lists(st.tuples(st.floats(-40, 40), st.sampled_from([0.0, 1.0])), min_size=1, max_size=20))
def test_softmax_of_two_classes_has_the_logistic_gradient_and_twice_its_hessian(
    rows: list[tuple[float, float]],
) -> None:
    margin, labels = (np.array(each) for each in zip(*rows, strict=True))
    gradient, hessian = objective_of("binary").gradients(margin[:, None], labels)
    both = np.stack([np.zeros_like(margin), margin], axis=1)
    gradients, hessians = objective_of("multiclass").gradients(both, labels)
    np.testing.assert_allclose(gradients[:, 1:], gradient, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(gradients[:, :1], -gradient, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(hessians[:, 1:], 2 * hessian, rtol=1e-9, atol=3e-16)


@settings(deadline=None)
@given(st.sampled_from(list(CASES)), st.integers(0, 2**32), st.integers(1, 5))
def test_a_row_of_weight_k_is_k_rows(case: str, seed: int, factor: int) -> None:
    objective, random = CASES[case][0], np.random.default_rng(seed)
    groups = np.concatenate([[0, 1], random.integers(0, 2, 40)])
    labels = labels_for(objective, groups, random)
    labels[: objective.columns] = np.arange(objective.columns)
    labels[-2:] = [0.0, 1.0]
    times = random.integers(0, factor + 1, len(labels))
    times[: objective.columns] = times[-2:] = 1
    repeated = np.repeat(np.arange(len(labels)), times)
    base = objective.base_margin(labels, times.astype(np.float64))
    np.testing.assert_allclose(base, objective.base_margin(labels[repeated]), rtol=1e-9, atol=1e-12)
    margin = random.normal(size=(len(labels), objective.columns))
    weighted = objective.gradients(margin, labels, times.astype(np.float64))
    plain = objective.gradients(margin[repeated], labels[repeated])
    for one, other in zip(weighted, plain, strict=True):
        np.testing.assert_allclose(one.sum(axis=0), other.sum(axis=0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", ["binary", "multiclass", "two classes by softmax"])
@pytest.mark.parametrize("size", [36.0, 800.0])
def test_certain_margins_have_finite_gradients_and_the_smallest_hessian(case: str, size: float) -> None:
    objective = CASES[case][0]
    margin = np.zeros((2, objective.columns))
    margin[:, 0] = [size, -size]
    gradient, hessian = objective.gradients(margin, np.array([0.0, 1.0]))
    assert np.isfinite(gradient).all()
    assert hessian.min() >= 1e-16
    assert hessian[:, 0].max() < 1 if objective.columns > 2 else hessian.max() < 1e-15


@pytest.mark.parametrize("name", ["poisson", "tweedie"])
def test_diverged_margins_are_an_error_and_not_an_infinity(name: str) -> None:
    with pytest.raises(TrainingError, match="diverged; lower learning_rate"):
        objective_of(name).gradients(np.array([[5000.0]]), np.array([1.0]))
    with pytest.raises(TrainingError, match="shape"):
        objective_of(name).gradients(np.array([5000.0]), np.array([1.0]))


@pytest.mark.parametrize(
    ("name", "labels", "said"),
    [
        ("binary", [0.0, 0.0], "found only 0, expected both 0 and 1"),
        ("binary", [0.0, 1.0, 2.0], r'found 3 distinct values \(0, 1, 2\), expected 0 and 1; set .* "multiclass"'),
        ("binary", [0.5, 1.5], 'set objective = "squared_error"'),
        ("binary", list(range(MAX_CLASSES + 1)), r'\(0, 1, 2, 3, 4, …\).* set objective = "squared_error"'),
        ("binary", [0.0, 1.0, np.nan], "1 of 3 are missing or infinite"),
        ("binary", [], "at least one row"),
        ("multiclass", [0.0, 2.0], "no row has class 1 of the 3 classes"),
        ("multiclass", [0.0, 1.0, 2.0, 3.0], "found 3, expected whole numbers 0 to 2"),
        ("multiclass", [0.0, 1.0, 1.5, 2.0], "found 1.5, expected whole"),
        ("squared_error", [4.0, 4.0], "all are 4, so there is nothing to learn"),
        ("squared_error", [4.0, np.inf], "1 of 2 are missing or infinite"),
        ("poisson", [1.0, 2.5], 'found 2.5, expected counts .* "tweedie"'),
        ("poisson", [1.0, -2.0], 'found -2, expected counts .* "squared_error"'),
        ("poisson", [0.0, 0.0], "all are 0"),
        ("tweedie", [0.0, -0.5], 'found -0.5, .* at least 0; set objective = "squared_error"'),
        ("tweedie", [0.0, 0.0], "all are 0"),
    ],
)
def test_labels_that_do_not_fit_are_refused_with_what_to_set(name: str, labels: list[float], said: str) -> None:
    with pytest.raises(DataError, match="labels: .*" + said):
        objective_of(name, classes=3).validate_labels(np.array(labels, dtype=np.float64))


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0, 1.0], r"weights have shape \(2,\)"),
        ([1.0, -1.0, 1.0], "from 0 to"),
        ([1.0, np.nan, 1.0], "from 0 to"),
        ([1.0, np.inf, 1.0], "from 0 to"),
        ([0.0, 0.0, 0.0], "all training rows are 0"),
        ([1.0, 1.0, 0.0], "nothing but one value is left"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: list[float], said: str) -> None:
    with pytest.raises(DataError, match=said):
        objective_of("binary").base_margin(np.array([0.0, 0.0, 1.0]), np.array(weights))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("hinge", {}, "unknown; there are binary, multiclass, squared_error, poisson, tweedie"),
        ("binary", {"scale_pos_weight": 0.0}, "scale_pos_weight is 0.0"),
        ("binary", {"scale_pos_weight": float("nan")}, "scale_pos_weight is nan"),
        ("multiclass", {"classes": 1}, "classes is 1"),
        ("multiclass", {"classes": MAX_CLASSES + 1}, "expected 2 to"),
        ("poisson", {"max_delta_step": 0.0}, "max_delta_step is 0.0"),
        ("tweedie", {"tweedie_variance_power": 1.0}, "both excluded"),
        ("tweedie", {"tweedie_variance_power": 2.0}, "both excluded"),
    ],
)
def test_settings_out_of_range_are_refused(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        objective_of(name, **options)


def test_the_factory_knows_every_objective_by_its_name() -> None:
    assert [objective_of(name).name for name in OBJECTIVES] == list(OBJECTIVES)
    assert [objective_of(name, classes=5).columns for name in OBJECTIVES] == [1, 5, 1, 1, 1]
    assert [objective_of(name).max_delta_step for name in OBJECTIVES] == [0.0, 0.0, 0.0, 0.7, 0.0]


@given(st.lists(st.lists(st.floats(-800, 800), min_size=3, max_size=3), min_size=1, max_size=8))
def test_links_stay_in_range_and_softmax_rows_sum_to_one(rows: list[list[float]]) -> None:
    margin = np.array(rows)
    shares = predictions("multiclass", margin)
    np.testing.assert_array_equal(shares, softmax(margin))
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    np.testing.assert_allclose(  # two classes are the logistic link of their difference
        softmax(margin[:, :2])[:, 0], sigmoid(margin[:, 0] - margin[:, 1]), rtol=1e-12, atol=1e-300
    )
    assert np.isfinite(predictions("poisson", margin[:, :1])).all()
    assert ((sigmoid(margin) >= 0) & (sigmoid(margin) <= 1)).all()
    np.testing.assert_array_equal(predictions("squared_error", margin[:, :1]), margin[:, 0])


def test_margins_of_the_wrong_number_of_columns_are_an_error() -> None:
    for name in OBJECTIVES:
        wrong = np.zeros((4, 1 if name == "multiclass" else 2))
        with pytest.raises(ModelFormatError, match="needs margins of shape"):
            predictions(name, wrong)
        with pytest.raises(ModelFormatError, match="needs margins of shape"):
            predictions(name, np.zeros(4))
