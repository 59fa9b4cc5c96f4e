"""A federated job gives the trees that plain boosting on the joined table gives."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.data.binning import BinMapper
from fedchain.data.builtin import BUILTIN_PARTIES, write_breast_cancer
from fedchain.data.csv import read_table
from fedchain.data.table import Table
from fedchain.errors import AlignmentError, ConfigError, DataError
from fedchain.federation.party import JobOutcome
from fedchain.messages import Histogram, decode
from fedchain.simulation.federation import simulate
from fedchain.simulation.plaintext import predict
from fedchain.types import Kind, PartyId
from tests.protocol.cases import CASES, Case, categorical, make_case, numeric, spec_of
from tests.protocol.comparing import assert_same_tree, holdout_scores, joined_of, shards_of
from tests.protocol.conftest import Finished
from tests.protocol.losses import sigmoid
from tests.protocol.reference import boost


@pytest.mark.parametrize("name", CASES)
def test_federated_trees_are_those_of_plain_integer_boosting(name: str, finished: Finished) -> None:
    case, (result, _) = make_case(name), finished(name)
    joined = joined_of(case)
    expected = boost(joined, case.spec.algorithm)
    shards = shards_of(result)
    assert all(outcome.session.ids == joined.ids for outcome in result.outcomes.values())
    assert shards[0].base_margins == pytest.approx(tuple(expected.base), rel=1e-14)
    assert [shard.base_margins for shard in shards[1:]] == [()] * (len(shards) - 1)
    for number, tree in enumerate(expected.trees):
        assert_same_tree(shards, number, tree)
    assert result.active.session.holdout == tuple(np.flatnonzero(joined.held_out))
    np.testing.assert_allclose(holdout_scores(result), sigmoid(expected.margins[joined.held_out, 0]), rtol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_federated_scores_are_close_to_xgboost_on_the_same_bins(name: str, finished: Finished) -> None:
    case, (result, _) = make_case(name), finished(name)
    joined, params = joined_of(case), case.spec.algorithm
    matrices = []
    for party in case.spec.names:
        table = case.tables[party]
        mapper = BinMapper.from_table(table, table.rows_of(joined.ids), params.bins)
        matrices.append((mapper.transform(table, table.rows_of(joined.ids)), mapper.features))
    theirs = predict(matrices, joined.labels, joined.held_out, trees=params.trees, depth=params.depth)
    theirs, ours = theirs[joined.held_out], holdout_scores(result)
    labels = joined.labels[joined.held_out]
    assert roc_auc_score(labels, ours) == pytest.approx(roc_auc_score(labels, theirs), abs=0.01)
    difference = np.abs(np.log(ours / (1 - ours)) - np.log(theirs / (1 - theirs)))
    assert np.median(difference) < 1e-3
    assert difference.mean() < 0.02


def test_every_party_of_the_larger_cases_owns_a_split_if_it_can(finished: Finished) -> None:
    """Else the equality above would not exercise their side."""

    def owners(name: str) -> set[int]:
        result, _ = finished(name)
        return {owner for tree in result.active.shard.trees for owner in tree.shape.owners} - {-1}

    assert owners("three parties") == {0, 1, 2}
    assert owners("an active party without features") == {1, 2}
    assert owners("four parties, one without a usable feature") == {0, 2, 3}


def test_missing_values_go_both_ways_in_some_tree(finished: Finished) -> None:
    directions = {
        split.missing_left
        for name in CASES
        for outcome in finished(name)[0].outcomes.values()
        for tree in outcome.shard.trees
        for split in tree.splits
    }
    assert directions == {False, True}


def test_a_passive_party_without_a_usable_feature_sends_empty_histograms(finished: Finished) -> None:
    _, recorder = finished("four parties, one without a usable feature")
    histograms = [decode(payload, Histogram) for slot, payload in recorder.of(Kind.HISTOGRAM) if slot.sender == "idle"]
    assert len(histograms) >= 3
    assert all(set(one.groups) == {()} and one.sums == b"" and one.nodes for one in histograms)


def test_all_parties_end_with_the_same_model_digest(finished: Finished) -> None:
    for name in CASES:
        result, _ = finished(name)
        assert len({outcome.model_digest for outcome in result.outcomes.values()}) == 1


def test_two_runs_with_other_secrets_give_the_same_shards_but_no_equal_ciphertext(
    finished: Finished, executor: Executor, dlog: DlogTable
) -> None:
    name = "a passive party with missing values"
    case, (first, recorder) = make_case(name), finished(name)
    payloads = {payload for slot, payload in recorder.seen if slot.kind in (Kind.GRADIENTS, Kind.HISTOGRAM)}
    again: set[bytes] = set()

    def tap(slot: object, payload: bytes) -> bytes:
        again.add(payload)
        return payload

    second = simulate(case.spec, case.tables, executor=executor, dlog=dlog, tap=tap)
    assert [shard.to_bytes() for shard in shards_of(first)] == [shard.to_bytes() for shard in shards_of(second)]
    assert first.active.model_digest == second.active.model_digest
    assert first.active.shares == second.active.shares
    assert not payloads & again
    digests = [outcome.session.keys.salt for outcome in (first.active, second.active)]
    assert digests[0] != digests[1]


def test_another_order_of_the_rows_in_the_files_changes_nothing(
    finished: Finished, executor: Executor, dlog: DlogTable
) -> None:
    name = "two parties"
    case = make_case(name)
    reversed_tables = {party: table.take(list(reversed(table.ids))) for party, table in case.tables.items()}
    again = simulate(case.spec, reversed_tables, executor=executor, dlog=dlog)
    assert again.active.model_digest == finished(name)[0].active.model_digest


def test_another_seed_of_the_holdout_gives_another_model(
    finished: Finished, executor: Executor, dlog: DlogTable
) -> None:
    """Else equal digests would say little."""
    name = "two parties"
    case = make_case(name)
    spec = case.spec.model_copy(update={"holdout": case.spec.holdout.model_copy(update={"seed": 43})})
    other = simulate(spec, case.tables, executor=executor, dlog=dlog)
    assert other.active.model_digest != finished(name)[0].active.model_digest


def test_contribution_shares_add_up_and_the_grand_coalition_is_the_model(finished: Finished) -> None:
    for name in CASES:
        case, (result, _) = make_case(name), finished(name)
        outcome: JobOutcome = result.active
        assert outcome.shares is not None
        assert outcome.holdout_scores is not None
        joined = joined_of(case)
        labels = joined.labels[joined.held_out]
        brier = float(np.mean((outcome.holdout_scores - labels) ** 2))
        assert outcome.shares.utilities_e6[-1] == pytest.approx(-brier * 1e6, abs=1)
        prior = 1 / (1 + np.exp(-outcome.shard.base_margins[0]))
        assert abs(outcome.shares.utilities_e6[0] / 1e6 + np.mean((prior - labels) ** 2)) < 0.05
        assert sum(outcome.shares.shares_e6) == outcome.shares.utilities_e6[-1] - outcome.shares.utilities_e6[0]
    shares = finished("four parties, one without a usable feature")[0].active.shares
    assert shares is not None
    assert shares.shares_e6[1] == 0, "a party without a split has no share"
    assert all(share > 0 for share in (shares.shares_e6[0], *shares.shares_e6[2:]))


def test_the_built_in_case_reaches_the_auc_of_xgboost(
    executor: Executor, dlog: DlogTable, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("breast_cancer")
    write_breast_cancer(folder)
    tables = {
        PartyId(name): read_table(
            folder / f"{name}.csv",
            id_column="id",
            label_column=None if place else "diagnosis",
            positive=None if place else "malignant",
        )
        for place, name in enumerate(BUILTIN_PARTIES)
    }
    case = Case(spec_of(BUILTIN_PARTIES, trees=3, bins=8), tables)
    result = simulate(case.spec, tables, executor=executor, dlog=dlog)
    joined = joined_of(case)
    assert result.active.aligned_rows == 488
    labels, scores = joined.labels[joined.held_out], holdout_scores(result)
    assert roc_auc_score(labels, scores) > 0.95
    expected = boost(joined, case.spec.algorithm)
    for number, tree in enumerate(expected.trees):
        assert_same_tree(shards_of(result), number, tree)
    np.testing.assert_allclose(scores, sigmoid(expected.margins[joined.held_out, 0]), rtol=1e-12)


def test_a_job_of_balanced_labels_survives_sums_of_exactly_zero(executor: Executor, dlog: DlogTable) -> None:
    """Gradients of the first tree are +-1/2: every bin of `even` and of the category holds a plaintext sum of zero."""
    rows = 120
    ids = tuple(str(number) for number in range(rows))
    label = np.tile([0.0, 1.0], rows // 2)
    even = np.repeat(np.arange(rows // 4), 4) % 5
    operator = Table(ids, (numeric("x", even),), label)
    partner = Table(
        ids,
        (
            numeric("even", even),
            categorical("pair", ["a" if number // 2 % 2 else "b" for number in range(rows)]),
            numeric("late", np.where(np.arange(rows) < 100, 0.0, label + np.arange(rows) % 3)),
        ),
    )
    tables = {PartyId("operator"): operator, PartyId("partner"): partner}
    case = Case(spec_of(list(tables), trees=2, min_child_weight=0.0), tables)
    joined = joined_of(case)
    expected = boost(joined, case.spec.algorithm)
    assert expected.base == [0.0]
    train = np.flatnonzero(~joined.held_out)
    assert (joined.labels[train] - 0.5).sum() == 0.0
    result = simulate(case.spec, tables, executor=executor, dlog=dlog)
    for number, tree in enumerate(expected.trees):
        assert_same_tree(shards_of(result), number, tree)
    np.testing.assert_allclose(holdout_scores(result), sigmoid(expected.margins[joined.held_out, 0]), rtol=1e-12)


def test_a_job_in_which_no_split_passes_the_rules_ends_with_stumps(executor: Executor, dlog: DlogTable) -> None:
    case = make_case("two parties")
    spec = spec_of(case.spec.names, trees=2, gamma=1e5)
    result = simulate(spec, case.tables, executor=executor, dlog=dlog)
    assert all(tree.shape.nodes == (0,) for tree in result.active.shard.trees)
    assert result.active.shares is not None
    assert set(result.active.shares.shares_e6) == {0}
    assert result.active.holdout_scores is not None
    assert len(set(result.active.holdout_scores)) == 1


def test_a_missing_table_is_named(executor: Executor, dlog: DlogTable) -> None:
    case = make_case("three parties")
    tables = {party: table for party, table in case.tables.items() if party != "bank"}
    with pytest.raises(ConfigError, match="bank"):
        simulate(case.spec, tables, executor=executor, dlog=dlog)


def test_an_active_table_without_labels_is_refused(executor: Executor, dlog: DlogTable) -> None:
    case = make_case("two parties")
    operator = case.tables[PartyId("operator")]
    tables = {**case.tables, PartyId("operator"): Table(operator.ids, operator.columns, source="operator.csv")}
    with pytest.raises(DataError, match=r"operator\.csv: the active party needs labels"):
        simulate(case.spec, tables, executor=executor, dlog=dlog)


def test_parties_without_a_common_customer_are_told_so(executor: Executor, dlog: DlogTable) -> None:
    case = make_case("two parties")
    media = case.tables[PartyId("media")]
    renamed = Table(tuple(f"other-{one}" for one in media.ids), media.columns)
    with pytest.raises(AlignmentError, match="0 ids are common to all 2 parties"):
        simulate(case.spec, {**case.tables, PartyId("media"): renamed}, executor=executor, dlog=dlog)
