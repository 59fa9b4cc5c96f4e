"""Sampled rows and columns, GOSS, early stopping: the plaintext model, and what of it shows on the wire."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import CipherRows
from fedchain.crypto.dlog import DlogTable
from fedchain.messages import Gradients, Histogram, LeafWeights, decode
from fedchain.simulation.federation import SimulationResult, simulate
from fedchain.types import Kind
from tests.protocol.adversary import Recorder
from tests.protocol.cases import Case, make_case, objective_case, with_algorithm
from tests.protocol.comparing import assert_same_model, joined_of
from tests.protocol.peeking import keys_of_the_job

GOSS: dict[str, Any] = {"goss_top": 0.2, "goss_other": 0.3}
MODES: list[dict[str, Any]] = [
    {"mode": "standard"},
    {"mode": "layered", "min_leaf_rows": 5, "min_bin_rows": 5},
    {"mode": "mix", "min_leaf_rows": 5, "min_bin_rows": 5},
]
EARLY: dict[str, Any] = {"rule": "early", "patience": 2, "validation_fraction": 0.2}


def run(case: Case, executor: Executor, dlog: DlogTable) -> tuple[SimulationResult, Recorder]:
    recorder = Recorder()
    return simulate(case.spec, case.tables, executor=executor, dlog=dlog, tap=recorder), recorder


def packed(mask: NDArray[np.bool_]) -> bytes:
    return np.packbits(mask, bitorder="little").tobytes()


@pytest.mark.parametrize("mode", MODES, ids=lambda one: one["mode"])
@pytest.mark.parametrize("objective", ["binary", "multiclass"])
def test_goss_trees_are_those_of_the_plaintext_algorithm(
    objective: str, mode: dict[str, Any], executor: Executor, dlog: DlogTable
) -> None:
    case = with_algorithm(objective_case(objective), **mode, **GOSS)
    result, _ = run(case, executor, dlog)
    assert_same_model(case, result)
    train = int(joined_of(case).train.sum())
    assert all(tree.covers[0] == train for tree in result.active.shard.trees), "every training row counts as a row"


def test_goss_sends_all_training_rows_and_the_unsampled_as_encryptions_of_zero(
    executor: Executor, dlog: DlogTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = with_algorithm(objective_case("binary"), **GOSS)
    with keys_of_the_job(monkeypatch) as made:
        _, recorder = run(case, executor, dlog)
    train = joined_of(case).train
    zeros = []
    for _, payload in recorder.of(Kind.GRADIENTS):
        message = decode(payload, Gradients)
        assert message.row_bits == message.routed_bits == packed(train)
        assert message.rows == int(train.sum())
        rows = CipherRows.from_bytes(message.ciphertexts, message.rows, 2, culprit="test")
        plain = made[0].decrypt_sums(rows, 4096, dlog, executor)
        unsampled = (plain == 0).all(axis=1)
        assert int((~unsampled).sum()) == round(0.2 * message.rows) + round(0.3 * message.rows)
        raw = message.ciphertexts
        points = {raw[place : place + 65] for place in range(0, len(raw), 65)}
        assert len(points) == 3 * message.rows, "encryptions of zero are as unlike as all others"
        assert not any(point[1:] == bytes(64) for point in points)
        zeros.append(unsampled)
    assert (zeros[0] != zeros[1]).any(), "another round samples other rows"


def test_the_sampled_set_of_goss_is_visible_in_no_message(
    executor: Executor, dlog: DlogTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the ciphertexts, messages of a passive party's view say the same as if another set had been drawn.

    Seeds of the job differ, and with them the sets; the rows on the wire do not, nor does the length of any root's.
    """
    first = with_algorithm(objective_case("binary"), trees=1, **GOSS)
    second = Case(first.spec.model_copy(update={"seed": first.spec.seed + 1}), first.tables)
    views, sampled = [], []
    for case in (first, second):
        with keys_of_the_job(monkeypatch) as made:
            _, recorder = run(case, executor, dlog)
        ((_, payload),) = recorder.of(Kind.GRADIENTS)
        message = decode(payload, Gradients)
        plain = made[0].decrypt_sums(
            CipherRows.from_bytes(message.ciphertexts, message.rows, 2, culprit="test"), 4096, dlog, executor
        )
        sampled.append(plain.any(axis=1).tolist())
        roots = [decode(raw, Histogram) for slot, raw in recorder.of(Kind.HISTOGRAM) if slot.step == 1]
        shown = (message.routed_bits, message.row_bits, message.rows, len(message.ciphertexts))
        groups = [[sorted(of_node) for of_node in one.groups] for one in roots]  # positions are this job's alone
        views.append((shown, groups, [(one.nodes, len(one.sums)) for one in roots]))
    assert sampled[0] != sampled[1]
    assert views[0] == views[1]
    bits = packed(np.array(sampled[0]))
    assert bits not in b"".join(payload for _, payload in recorder.seen)


@pytest.mark.parametrize("mode", MODES, ids=lambda one: one["mode"])
def test_sampled_rows_and_columns_give_the_trees_of_the_plaintext_algorithm(
    mode: dict[str, Any], executor: Executor, dlog: DlogTable
) -> None:
    case = with_algorithm(objective_case("binary"), **mode, row_sample=0.6, column_sample=0.5, trees=4)
    result, recorder = run(case, executor, dlog)
    assert_same_model(case, result)
    train = joined_of(case).train
    drawn = set()
    for _, payload in recorder.of(Kind.GRADIENTS):
        message = decode(payload, Gradients)
        assert message.rows == round(0.6 * int(train.sum()))
        assert message.routed_bits == packed(train), "rows that do not enter are routed all the same"
        drawn.add(message.row_bits)
    assert len(drawn) == len({slot.round for slot, _ in recorder.of(Kind.GRADIENTS)}), "each round draws anew"
    for _, payload in recorder.of(Kind.HISTOGRAM):
        for groups in decode(payload, Histogram).groups:
            assert sum(1 for sizes, _ in groups if sizes) == (len(groups) + 1) // 2, "half of the columns take part"
            assert all(missing == 0 for sizes, missing in groups if not sizes)


def test_columns_drawn_differ_between_parties_and_rounds(executor: Executor, dlog: DlogTable) -> None:
    case = with_algorithm(objective_case("binary"), column_sample=0.5, trees=6, depth=1)
    _, recorder = run(case, executor, dlog)
    chosen: dict[str, list[tuple[int, ...]]] = {"bank": [], "shop": []}
    for slot, payload in recorder.of(Kind.HISTOGRAM):
        (groups,) = decode(payload, Histogram).groups
        chosen[slot.sender].append(tuple(place for place, (sizes, _) in enumerate(groups) if sizes))
    assert all(len(set(one)) > 1 for one in chosen.values())
    assert chosen["bank"] != chosen["shop"]


@pytest.mark.parametrize("mode", MODES, ids=lambda one: one["mode"])
@pytest.mark.parametrize("objective", ["binary", "multiclass"])
def test_early_stopping_keeps_the_best_round_at_every_party(
    objective: str, mode: dict[str, Any], executor: Executor, dlog: DlogTable
) -> None:
    """A high learning rate, so that the validation rows tell soon."""
    settings: dict[str, Any] = {**mode, "trees": 20, "learning_rate": 1.0, "depth": 2}
    case = with_algorithm(objective_case(objective), stopping=EARLY, **settings)
    result, recorder = run(case, executor, dlog)
    if objective == "binary":  # the reference judges binary labels
        expected = assert_same_model(case, result)
        kept, rounds = len(expected.trees), expected.rounds
    else:
        kept = len(result.active.shard.trees) // 3
        rounds = len(recorder.of(Kind.LEAF_WEIGHTS))
    assert rounds == kept + 2 < 20, "patience is 2, and it was needed"
    assert {len(one.shard.trees) for one in result.outcomes.values()} == {kept * case.spec.algorithm.outputs}
    closing = [decode(payload, LeafWeights) for _, payload in recorder.of(Kind.LEAF_WEIGHTS)]
    assert [(one.last, one.keep) for one in closing] == [(False, 0)] * (rounds - 1) + [(True, kept)]
    assert {slot.recipient for slot, _ in recorder.of(Kind.LEAF_WEIGHTS)} == {None}, "announced to the whole roster"
    assert len({one.model_digest for one in result.outcomes.values()}) == 1


def test_validation_rows_are_led_down_the_trees_but_enter_no_histogram(executor: Executor, dlog: DlogTable) -> None:
    case = with_algorithm(make_case("two parties"), stopping=EARLY, trees=2)
    result, recorder = run(case, executor, dlog)
    assert_same_model(case, result)
    joined = joined_of(case)
    assert joined.validation.sum() == round(0.2 * len(joined.labels))
    assert not (joined.validation & (joined.train | joined.held_out)).any()
    for _, payload in recorder.of(Kind.GRADIENTS):
        message = decode(payload, Gradients)
        assert message.routed_bits == packed(joined.train | joined.validation)
        assert message.row_bits == packed(joined.train)
    assert all(tree.covers[0] == joined.train.sum() for tree in result.active.shard.trees)


def test_a_rule_that_is_never_met_keeps_the_best_of_all_rounds(executor: Executor, dlog: DlogTable) -> None:
    """Patience beyond the number of rounds; the last round is not the best one."""
    stopping = {**EARLY, "patience": 50}
    settings: dict[str, Any] = {"trees": 6, "learning_rate": 1.0, "depth": 3}
    case = with_algorithm(objective_case("binary"), stopping=stopping, **settings)
    result, recorder = run(case, executor, dlog)
    expected = assert_same_model(case, result)
    assert expected.rounds == 6
    closing = decode(recorder.of(Kind.LEAF_WEIGHTS)[-1][1], LeafWeights)
    assert (closing.last, closing.keep) == (True, len(expected.trees))
    assert len(expected.trees) < 6


@pytest.mark.parametrize(
    ("objective", "metric"),
    [("binary", "auc"), ("binary", "ks"), ("binary", "f1"), ("squared_error", "mae"), ("poisson", "poisson_deviance")],
)
def test_other_metrics_stop_training_as_well(objective: str, metric: str, executor: Executor, dlog: DlogTable) -> None:
    settings: dict[str, Any] = {"trees": 12, "learning_rate": 1.0, "depth": 2, "mode": "layered", "min_leaf_rows": 5}
    stopping = {**EARLY, "metric": metric, "patience": 1}
    case = with_algorithm(objective_case(objective), stopping=stopping, **settings)
    result, recorder = run(case, executor, dlog)
    rounds = len(recorder.of(Kind.LEAF_WEIGHTS))
    assert rounds == len(result.active.shard.trees) + 1 < 12


def test_a_gain_below_min_delta_is_no_gain(executor: Executor, dlog: DlogTable) -> None:
    case = with_algorithm(make_case("two parties"), stopping={**EARLY, "min_delta": 1e9}, trees=10)
    result, recorder = run(case, executor, dlog)
    assert len(recorder.of(Kind.LEAF_WEIGHTS)) == 3, "the first round, and two that do not count"
    assert len(result.active.shard.trees) == 1
