"""A job that continues a finished model: bit for bit the model of one longer job, with the right checkpoint only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.data.table import Column, Table
from fedchain.errors import CheckpointError, DataError, ProtocolViolationError, SealError
from fedchain.federation.party import JobOutcome, job_party
from fedchain.federation.spec import JobSpec
from fedchain.inference import checkpoint as exchange
from fedchain.messages import LeafWeights, Partition, PublicKey, decode
from fedchain.model.leaf_mask import Bits, pack_bits
from fedchain.model.shard import Shard
from fedchain.protocol import Party
from fedchain.simulation.channel import Channel
from fedchain.simulation.federation import SimulationResult, simulate
from fedchain.types import Kind, PartyId
from tests.protocol.adversary import Recorder, changing
from tests.protocol.cases import Case, make_case, objective_case, with_algorithm

OPERATOR, BANK, SHOP = PartyId("operator"), PartyId("bank"), PartyId("shop")
Shards = Mapping[PartyId, Shard]
MODES: dict[str, dict[str, Any]] = {
    "standard": {"mode": "standard", "depth": 2},
    "layered": {"mode": "layered", "depth": 3, "min_leaf_rows": 5, "min_bin_rows": 5},
    "mix": {"mode": "mix", "depth": 2, "min_leaf_rows": 5, "min_bin_rows": 5},
}
SAMPLED: dict[str, Any] = {"row_sample": 0.7, "column_sample": 0.6, "learning_rate": 0.2}


def shards_of(result: SimulationResult) -> dict[PartyId, Shard]:
    return {party: outcome.shard for party, outcome in result.outcomes.items()}


def continuing(spec: JobSpec, digest: str, **changes: Any) -> JobSpec:
    """The job, with a model to continue."""
    document = spec.model_dump(mode="json", by_alias=True) | {"warm_start": {"model": digest}} | changes
    return JobSpec._validate(document, "test")


class Runs:
    """Runs jobs over one case's tables."""

    def __init__(self, executor: Executor, dlog: DlogTable) -> None:
        self.executor, self.dlog = executor, dlog

    def __call__(self, case: Case, **options: Any) -> SimulationResult:
        return simulate(case.spec, case.tables, executor=self.executor, dlog=self.dlog, **options)

    def go_on(self, case: Case, earlier: SimulationResult, **options: Any) -> SimulationResult:
        """The case's job, from the model that another one ended with."""
        options = {"checkpoints": shards_of(earlier)} | options
        return self(Case(continuing(case.spec, earlier.active.model_digest), case.tables), **options)


@pytest.fixture(scope="module")
def runs(executor: Executor, dlog: DlogTable) -> Runs:
    return Runs(executor, dlog)


@pytest.fixture(scope="module")
def base() -> Case:
    return with_algorithm(make_case("three parties"), **MODES["layered"], trees=2)


@pytest.fixture(scope="module")
def first(runs: Runs, base: Case) -> SimulationResult:
    return runs(base)


def assert_same(whole: SimulationResult, parts: SimulationResult) -> None:
    """The same model bit for bit, and what follows from it."""
    for party, outcome in whole.outcomes.items():
        assert parts.outcomes[party].shard == outcome.shard
        assert parts.outcomes[party].shard.digest() == outcome.shard.digest()
    assert {one.model_digest for one in parts.outcomes.values()} == {whole.active.model_digest}
    np.testing.assert_array_equal(parts.active.holdout_scores, whole.active.holdout_scores)
    assert parts.active.shares == whole.active.shares


@pytest.mark.parametrize("mode", sorted(MODES))
@pytest.mark.parametrize("objective", ["binary", "multiclass"])
def test_five_rounds_and_five_more_are_the_model_of_ten(objective: str, mode: str, runs: Runs) -> None:
    """Rows and columns are drawn anew in each round; turns go on where they were: 5 is no multiple of 2 or 3."""
    cases = {
        trees: with_algorithm(objective_case(objective), **MODES[mode], **SAMPLED, trees=trees) for trees in (5, 10)
    }
    whole = runs(cases[10])
    recorder = Recorder()
    parts = runs.go_on(cases[5], runs(cases[5]), tap=recorder)
    assert_same(whole, parts)
    outputs = 3 if objective == "multiclass" else 1
    assert len(parts.active.shard.trees) == 10 * outputs
    assert {slot.round for slot, _ in recorder.of(Kind.LEAF_WEIGHTS)} == {1, 2, 3, 4, 5}, "rounds count anew"


@pytest.mark.parametrize(
    "algorithm",
    [
        {**MODES["mix"], "objective": "poisson", "goss_top": 0.3, "goss_other": 0.3},
        {"mode": "standard", "depth": 3, "growth": "leaf_wise", "max_leaves": 4},
    ],
    ids=["GOSS", "leaf-wise"],
)
def test_three_rounds_and_two_more_are_the_model_of_five(algorithm: dict[str, Any], runs: Runs) -> None:
    base = objective_case(algorithm.get("objective", "binary"), weighted=True)
    cases = {trees: with_algorithm(base, **algorithm, trees=trees) for trees in (2, 3, 5)}
    assert_same(runs(cases[5]), runs.go_on(cases[2], runs(cases[3])))


@pytest.mark.parametrize(
    "name", ["an active party without features", "four parties, one without a usable feature", "two parties"]
)
def test_parties_without_features_continue_too(name: str, runs: Runs) -> None:
    cases = {trees: with_algorithm(make_case(name), **MODES["layered"], trees=trees) for trees in (1, 2, 3)}
    assert_same(runs(cases[3]), runs.go_on(cases[2], runs(cases[1])))


def test_a_model_is_continued_more_than_once(runs: Runs) -> None:
    cases = {trees: with_algorithm(make_case("three parties"), **MODES["mix"], trees=trees) for trees in (1, 3)}
    parts = runs(cases[1])
    for _ in range(2):
        parts = runs.go_on(cases[1], parts)
    assert_same(runs(cases[3]), parts)


def test_margins_do_not_depend_on_how_many_rows_are_unpacked_at_a_time(
    runs: Runs, base: Case, first: SimulationResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = runs.go_on(base, first)
    monkeypatch.setattr(exchange, "CHUNK", 17)
    assert_same(whole, runs.go_on(base, first))


def test_other_hyperparameters_and_rows_may_differ_from_the_checkpoint_s(
    runs: Runs, base: Case, first: SimulationResult
) -> None:
    """Fewer rows, one of them with a cell missing where none was, another learning rate, depth and number of bins."""
    case = with_algorithm(base, trees=2, depth=4, learning_rate=0.05, bins=4)
    tables = {party: table.take(list(table.ids)[5:]) for party, table in case.tables.items()}
    tables[OPERATOR] = with_gap(tables[OPERATOR], "tenure")
    parts = runs.go_on(Case(case.spec, tables), first)
    old, new = first.active.shard, parts.active.shard
    assert new.trees[:2] == old.trees
    assert len(new.trees) == 4
    assert new.base_margins == old.base_margins
    changed = [(a, b) for a, b in zip(old.binning["features"], new.binning["features"], strict=True) if a != b]
    assert [b for _, b in changed] == [{**a, "has_missing": True} for a, _ in changed]
    assert [a["column"] for a, _ in changed] == ["tenure"], "the cuts are the checkpoint's"


def with_gap(table: Table, column: str) -> Table:
    """The table, one cell of a numeric column empty."""

    def gap(one: Column) -> Column:
        values = one.values.copy()
        values[len(values) // 2] = np.nan
        return Column(one.name, one.kind, values)

    return replace(table, columns=tuple(gap(one) if one.name == column else one for one in table.columns))


def test_early_stopping_keeps_at_least_one_new_round(runs: Runs) -> None:
    stopping = {"rule": "early", "patience": 2, "validation_fraction": 0.2, "min_delta": 1e9}
    case = with_algorithm(make_case("three parties"), **MODES["layered"], trees=8, stopping=stopping)
    first = runs(case)
    recorder = Recorder()
    second = runs.go_on(case, first, tap=recorder)
    assert (len(first.active.shard.trees), len(second.active.shard.trees)) == (1, 2)
    closing = [decode(payload, LeafWeights) for _, payload in recorder.of(Kind.LEAF_WEIGHTS)]
    assert [(one.last, one.keep) for one in closing] == [(False, 0), (False, 0), (True, 1)]
    assert {len(outcome.shard.trees) for outcome in second.outcomes.values()} == {2}


def test_leaf_bits_are_sealed_to_the_active_party_and_sent_once(
    runs: Runs, base: Case, first: SimulationResult
) -> None:
    recorder = Recorder()
    result = runs.go_on(base, first, tap=recorder)
    opening = [(slot, decode(payload, Partition)) for slot, payload in recorder.of(Kind.PARTITION) if slot.step == 0]
    assert [(slot.round, slot.sender, slot.recipient) for slot, _ in opening] == [
        (1, BANK, OPERATOR),
        (1, SHOP, OPERATOR),
    ]
    keys = {party: outcome.session.keys for party, outcome in result.outcomes.items()}
    for slot, message in opening:
        assert message.nodes == ()
        bits = sum(tree.shape.bit_count for tree in first.outcomes[slot.sender].shard.trees)
        opened = keys[OPERATOR].unseal(message.sealed, "warm_start/bits", slot.sender)
        assert len(opened) == result.active.aligned_rows * ((bits + 7) // 8)
        for other in (BANK, SHOP):
            with pytest.raises(SealError, match="not for"):
                keys[other].unseal(message.sealed, "warm_start/bits", slot.sender)


def test_a_job_that_starts_from_nothing_announces_no_checkpoint_and_sends_no_leaf_bits(runs: Runs, base: Case) -> None:
    recorder = Recorder()
    runs(base, tap=recorder)
    assert {decode(payload, PublicKey).checkpoint for _, payload in recorder.of(Kind.PUBLIC_KEY)} == {b""}
    assert all(decode(payload, Partition).nodes for _, payload in recorder.of(Kind.PARTITION))


# -- wrong checkpoints ----------------------------------------------------------------------------------------------


def test_shards_of_another_model_are_refused_and_every_announced_digest_is_told(
    runs: Runs, base: Case, first: SimulationResult
) -> None:
    """One party has the shard of a model with fewer rounds; nobody can tell which one."""
    shorter = shards_of(runs(with_algorithm(base, trees=1)))
    mixed = {**shards_of(first), BANK: shorter[BANK]}
    with pytest.raises(CheckpointError, match=first.active.model_digest) as caught:
        runs.go_on(base, first, checkpoints=mixed)
    for shard in mixed.values():
        assert shard.digest().hex() in str(caught.value)


def test_a_digest_that_no_shards_have_is_refused_before_ids_are_sent(
    runs: Runs, base: Case, first: SimulationResult
) -> None:
    recorder = Recorder()
    case = Case(continuing(base.spec, "0" * 64), base.tables)
    with pytest.raises(CheckpointError, match="0" * 64):
        runs(case, checkpoints=shards_of(first), tap=recorder)
    assert {slot.kind for slot, _ in recorder.seen} == {Kind.PUBLIC_KEY}


def refused(runs: Runs, case: Case, shards: Shards | None, error: type[Exception], *words: str) -> None:
    """The job ends before anything is sent."""
    recorder = Recorder()
    with pytest.raises(error) as caught:
        runs(case, checkpoints=shards, tap=recorder)
    for word in words:
        assert word in str(caught.value)
    assert not recorder.seen


def test_a_warm_start_without_checkpoint_and_a_checkpoint_without_warm_start_are_refused(
    runs: Runs, base: Case, first: SimulationResult
) -> None:
    digest = first.active.model_digest
    warm = Case(continuing(base.spec, digest), base.tables)
    refused(runs, warm, None, CheckpointError, f"continues model {digest}", "give party 'operator' its shard")
    refused(runs, base, shards_of(first), CheckpointError, "continues no model", "[warm_start] model")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"roster": ("operator", "shop", "bank")},
            "roster operator, shop, bank, job 'test-job' has operator, bank, shop",
        ),
        ({"party": "shop"}, "party shop"),
        ({"mode": "mix"}, "mode mix, job 'test-job' has layered"),
        ({"objective": "poisson"}, "objective poisson, job 'test-job' has binary"),
        ({"trees": ()}, "number of outputs 0, job 'test-job' has 1"),
        ({"base_margins": (0.0, 0.0)}, "whole rounds of 1 trees"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused_and_the_difference_is_named(
    changes: dict[str, Any], words: str, runs: Runs, base: Case, first: SimulationResult
) -> None:
    shards = shards_of(first)
    other = msgspec.structs.replace(shards[OPERATOR], **changes)
    warm = Case(continuing(base.spec, first.active.model_digest), base.tables)
    refused(runs, warm, {**shards, OPERATOR: other}, CheckpointError, "party 'operator'", words)


def test_a_checkpoint_of_another_number_of_classes_is_refused(runs: Runs) -> None:
    case = with_algorithm(objective_case("multiclass"), **MODES["mix"], trees=1)
    done = runs(case)
    other = with_algorithm(case, classes=4)
    warm = Case(continuing(other.spec, done.active.model_digest), case.tables)
    refused(runs, warm, shards_of(done), CheckpointError, "number of outputs 3", "has 4")
    shards = shards_of(done)
    part = msgspec.structs.replace(shards[OPERATOR], trees=shards[OPERATOR].trees[1:] + shards[OPERATOR].trees[:1])
    warm = Case(continuing(case.spec, done.active.model_digest), case.tables)
    refused(runs, warm, {**shards, OPERATOR: part}, CheckpointError, "whole rounds of 3 trees")


def test_a_table_that_lost_a_column_of_the_checkpoint_is_refused(
    runs: Runs, base: Case, first: SimulationResult
) -> None:
    warm = continuing(base.spec, first.active.model_digest)
    table = base.tables[OPERATOR]
    lost = replace(table, columns=tuple(one for one in table.columns if one.name != "tenure"))
    tables = {**base.tables, OPERATOR: lost}
    refused(runs, Case(warm, tables), shards_of(first), DataError, "no feature column 'tenure'", "checkpoint")
    texts = np.array(["a", "b"] * len(table), dtype=object)[: len(table)]
    kind = replace(table, columns=(Column("tenure", "categorical", texts), *table.columns[1:]))
    tables = {**base.tables, OPERATOR: kind}
    refused(runs, Case(warm, tables), shards_of(first), DataError, "'tenure' is categorical", "checkpoint")


# -- parties that break the protocol --------------------------------------------------------------------------------


def run_with(
    runs: Runs,
    base: Case,
    first: SimulationResult,
    culprit: PartyId,
    message_type: Any,
    change: Any,
    *,
    warm: bool = True,
) -> None:
    """The warm (or cold) job, in which one party's messages of a type are changed."""
    spec = continuing(base.spec, first.active.model_digest) if warm else base.spec
    parties: dict[PartyId, Party[JobOutcome]] = {}
    for party, shard in shards_of(first).items():
        generator = job_party(
            spec,
            party,
            base.tables[party],
            executor=runs.executor,
            dlog=runs.dlog if party == OPERATOR else None,
            checkpoint=shard if warm else None,
        )
        parties[party] = changing(generator, message_type, change) if party == culprit else generator
    Channel().run(parties)


@pytest.mark.parametrize(
    ("warm", "digest", "words"),
    [
        (True, b"", "announced no checkpoint"),
        (True, bytes(31), "announced no checkpoint"),
        (False, bytes(32), "announced a checkpoint, the job has none"),
    ],
)
def test_a_party_whose_announcement_does_not_fit_the_job_is_named(
    warm: bool, digest: bytes, words: str, runs: Runs, base: Case, first: SimulationResult
) -> None:
    with pytest.raises(ProtocolViolationError, match=words) as caught:
        run_with(runs, base, first, SHOP, PublicKey, lambda m: msgspec.structs.replace(m, checkpoint=digest), warm=warm)
    assert caught.value.culprit == SHOP


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda message: msgspec.structs.replace(message, nodes=(0,)), "named nodes"),
        (lambda message: msgspec.structs.replace(message, sealed=message.sealed[:-1]), "answer"),
        (lambda message: msgspec.structs.replace(message, sealed=b""), "answer"),
    ],
    ids=["nodes", "cut", "empty"],
)
def test_leaf_bits_that_do_not_open_name_their_sender(
    change: Any, words: str, runs: Runs, base: Case, first: SimulationResult
) -> None:
    with pytest.raises(ProtocolViolationError, match=words) as caught:
        run_with(runs, base, first, BANK, Partition, change)
    assert caught.value.culprit == BANK


@pytest.mark.parametrize(
    ("forge", "words", "culprit"),
    [
        (lambda packed: packed[:-1], "another number of rows or leaves", "bank"),
        (lambda packed: packed + b"\0", "another number of rows or leaves", "bank"),
        (lambda packed: bytes(len(packed)), "exactly one leaf of each tree", "bank, shop"),
    ],
    ids=["short", "long", "no leaf"],
)
def test_leaf_bits_out_of_shape_are_named_and_contradictory_ones_name_all_who_sent_some(
    forge: Any,
    words: str,
    culprit: str,
    runs: Runs,
    base: Case,
    first: SimulationResult,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[bytes] = []

    def once(bits: Bits) -> Any:  # the bank is the first to send
        done.append(pack_bits(bits))
        return forge(done[-1]) if len(done) == 1 else done[-1]

    monkeypatch.setattr(exchange, "pack_bits", once)
    with pytest.raises(ProtocolViolationError, match=words) as caught:
        runs.go_on(base, first)
    assert caught.value.culprit == culprit
