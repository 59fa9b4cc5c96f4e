"""Every objective over the channel gives the model of plain integer boosting; classes share one encryption of a row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import CipherRows
from fedchain.crypto.dlog import DlogTable
from fedchain.federation.answering import answerer_of, predict_party
from fedchain.inference.request import Answerer
from fedchain.messages import Gradients, Histogram, Split, decode
from fedchain.simulation.channel import Channel
from fedchain.simulation.federation import SimulationResult, simulate
from fedchain.types import Kind, PartyId
from tests.protocol.adversary import Recorder
from tests.protocol.cases import Case, objective_case, with_algorithm
from tests.protocol.comparing import assert_same_model, holdout_scores, joined_of
from tests.protocol.losses import predicted
from tests.protocol.peeking import keys_of_the_job
from tests.protocol.reference import boost

OBJECTIVES = ("binary", "multiclass", "squared_error", "poisson", "tweedie")
MODES: dict[str, dict[str, Any]] = {
    "standard": {"mode": "standard"},
    "layered": {"mode": "layered", "min_leaf_rows": 5, "min_bin_rows": 5},
    "mix": {"mode": "mix", "min_leaf_rows": 5, "min_bin_rows": 5, "trees": 3},
}
BANK = PartyId("bank")


def run(case: Case, executor: Executor, dlog: DlogTable) -> tuple[SimulationResult, Recorder]:
    recorder = Recorder()
    return simulate(case.spec, case.tables, executor=executor, dlog=dlog, tap=recorder), recorder


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_model_is_that_of_plain_integer_boosting_and_the_same_twice(
    objective: str, mode: str, executor: Executor, dlog: DlogTable
) -> None:
    """Secrets, salts and masks differ between the runs; the digest does not."""
    case = with_algorithm(objective_case(objective), **MODES[mode])
    result, first = run(case, executor, dlog)
    expected = assert_same_model(case, result)
    assert any(len(tree) > 1 for tree in expected.trees)
    owners = {owner for tree in result.active.shard.trees for owner in tree.shape.owners}
    assert len(owners - {-1}) >= 2, "several parties split"
    again, second = run(case, executor, dlog)
    digests = {one.model_digest for outcome in (result, again) for one in outcome.outcomes.values()}
    assert len(digests) == 1
    assert not {raw for _, raw in first.of(Kind.HISTOGRAM)} & {raw for _, raw in second.of(Kind.HISTOGRAM)}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_row_weights_count_and_stay_with_the_active_party(objective: str, executor: Executor, dlog: DlogTable) -> None:
    case = objective_case(objective, weighted=True)
    result, recorder = run(case, executor, dlog)
    assert_same_model(case, result)
    unweighted = boost(replace(joined_of(case), weights=np.ones(result.active.aligned_rows)), case.spec.algorithm)
    assert not np.allclose(result.active.shard.base_margins, unweighted.base)
    table = case.tables[case.spec.names[0]]
    assert table.weight is not None
    everything = b"".join(payload for _, payload in recorder.seen)
    assert not any(np.float64(one).tobytes() in everything for one in table.weight if one)


@pytest.mark.parametrize("weight", [0.25, 6.0])
def test_the_weight_of_positives_moves_scores_its_way(weight: float, executor: Executor, dlog: DlogTable) -> None:
    case = with_algorithm(objective_case("binary"), scale_pos_weight=weight)
    result, _ = run(case, executor, dlog)
    assert_same_model(case, result)
    plain, _ = run(objective_case("binary"), executor, dlog)
    difference = float((holdout_scores(result) - holdout_scores(plain)).mean())
    assert difference * (weight - 1) > 0.05 * abs(weight - 1)


@pytest.mark.parametrize("step", [0.1, 0.7])
def test_poisson_steps_are_bounded_before_shrinkage(step: float, executor: Executor, dlog: DlogTable) -> None:
    case = with_algorithm(objective_case("poisson"), max_delta_step=step, l2=0.0)
    result, _ = run(case, executor, dlog)
    assert_same_model(case, result)
    weights = np.array([weight for tree in result.active.shard.trees for weight in tree.weights])
    assert np.abs(weights).max() <= 0.3 * step * (1 + 1e-12)
    if step == 0.1:
        assert np.isclose(np.abs(weights), 0.03).any(), "some leaf is at the bound"


@pytest.mark.parametrize("power", [1.1, 1.9])
def test_tweedie_follows_its_variance_power(power: float, executor: Executor, dlog: DlogTable) -> None:
    case = with_algorithm(objective_case("tweedie"), tweedie_variance_power=power)
    assert_same_model(case, run(case, executor, dlog)[0])


def test_classes_share_one_encryption_of_a_row(
    executor: Executor, dlog: DlogTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Per row and round 1 + 2K points, sent once: a mask, then gradient and hessian of each class."""
    case = objective_case("multiclass")
    with keys_of_the_job(monkeypatch) as made:
        result, recorder = run(case, executor, dlog)
    (pair,) = made
    assert pair.columns == 6
    joined = joined_of(case)
    train, sent = int(joined.train.sum()), recorder.of(Kind.GRADIENTS)
    assert [slot.round for slot, _ in sent] == [1, 2]
    assert len(result.active.shard.trees) == 6
    for _, payload in sent:
        message = decode(payload, Gradients)
        assert message.rows == train
        assert len(message.ciphertexts) == 65 * (1 + 2 * 3) * train
    first = decode(sent[0][1], Gradients)
    plain = pair.decrypt_sums(CipherRows.from_bytes(first.ciphertexts, train, 6, culprit="test"), 4096, dlog, executor)
    hits = np.eye(3)[joined.labels[joined.train].astype(int)]
    assert ((plain[:, 0::2] < 0) == (hits == 1)).all(), "a row's gradient is negative for its own class alone"
    assert (plain[:, 1::2] > 0).all()


def test_every_class_s_histograms_open_under_its_own_keys_alone(
    executor: Executor, dlog: DlogTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each class has its own steps, its own tree, and sums of its own columns."""
    case = objective_case("multiclass")
    depth = case.spec.algorithm.depth
    with keys_of_the_job(monkeypatch):
        result, recorder = run(case, executor, dlog)
    for kind in (Kind.HISTOGRAM, Kind.SPLIT):
        trees = {(slot.step - 1) // (3 * depth) for slot, _ in recorder.of(kind)}
        assert trees == {0, 1, 2}
    roots = [decode(raw, Histogram).sums for slot, raw in recorder.of(Kind.HISTOGRAM) if slot.step % (3 * depth) == 1]
    assert len(roots) == len(set(roots)) == 2 * 2 * 3, "two rounds, two passive parties, three classes"
    splits = [decode(payload, Split) for slot, payload in recorder.of(Kind.SPLIT) if slot.round == 1]
    assert len(set(splits)) > 1, "classes do not share one tree"
    assert [tree.output for tree in result.active.shard.trees] == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_request_returns_what_the_objective_predicts(objective: str, executor: Executor, dlog: DlogTable) -> None:
    case = with_algorithm(objective_case(objective), **MODES["layered"])
    result, _ = run(case, executor, dlog)
    answerers: dict[PartyId, Answerer] = {
        name: answerer_of(outcome.shard, outcome.session, case.tables[name])
        for name, outcome in result.outcomes.items()
    }
    positions = np.arange(0, result.active.aligned_rows, 3, dtype=np.int64)
    generators = {
        name: predict_party(answerer, BANK, 2**31, positions if name == BANK else None)
        for name, answerer in answerers.items()
    }
    scores = Channel().run(generators)[BANK]
    assert scores is not None
    expected = predicted(case.spec.algorithm, assert_same_model(case, result).margins)[positions]
    assert scores.shape == expected.shape
    np.testing.assert_allclose(scores, expected, rtol=1e-10)
