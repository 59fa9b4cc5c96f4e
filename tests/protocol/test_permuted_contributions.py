"""Jobs whose contributions are measured by block permutation: what the joint model says of the joined table in which
absent parties' columns are those of other customers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.contribution.conditional import conditional_shapley
from fedchain.contribution.leaf_mask import shapley_e6
from fedchain.crypto.dlog import DlogTable
from fedchain.data.table import Table
from fedchain.federation.answering import answerer_of
from fedchain.federation.contribspec import ContributionSpec
from fedchain.federation.spec import JobSpec
from fedchain.model.leaf_mask import whole_bits
from fedchain.model.link import ObjectiveName, predictions
from fedchain.simulation.federation import simulate
from tests.protocol.cases import objective_case
from tests.protocol.joint import joint_margins

REPEATS = 2


def as_others(table: Table, ids: Sequence[str], order: NDArray[np.int64]) -> Table:
    """A party's columns of some customers, each of whom gets another's."""
    return replace(table.take([ids[row] for row in order]), ids=tuple(ids))


@pytest.mark.parametrize("objective", ["binary", "multiclass", "poisson"])
def test_shares_are_those_of_the_joint_model_on_swapped_columns(
    objective: ObjectiveName, executor: Executor, dlog: DlogTable
) -> None:
    case = objective_case(objective)
    method = ContributionSpec(method="block-permutation", repeats=REPEATS)
    spec = JobSpec.from_bytes(case.spec.model_copy(update={"contribution": method}).to_bytes())
    result = simulate(spec, case.tables, executor=executor, dlog=dlog)
    active, roster = result.active, spec.names
    assert active.shares is not None
    assert active.contribution is not None
    ids = [active.session.ids[row] for row in active.session.holdout]
    shards, tables = [result.outcomes[name].shard for name in roster], [case.tables[name] for name in roster]
    label = case.tables[roster[0]].take(ids).label
    assert label is not None
    truth = np.eye(3)[label.astype(np.int64)] if objective == "multiclass" else label[:, None]
    unit = 1.0 if objective in ("binary", "multiclass") else float(label.var())
    random = np.random.Generator(np.random.PCG64(int.from_bytes(active.session.keys.salt[:8], "big")))
    orders = [random.permutation(len(ids)) for _ in range(REPEATS)]
    utilities = []
    for coalition in range(8):
        losses = []
        for order in orders:
            seen = [
                table.take(ids) if coalition >> place & 1 else as_others(table, ids, order)
                for place, table in enumerate(tables)
            ]
            found = predictions(objective, joint_margins(shards, seen, ids)).reshape(len(ids), -1)
            losses.append(float(np.square(found - truth).sum(axis=1).mean()) / unit)
        utilities.append(-1e6 * float(np.mean(losses)))
    np.testing.assert_allclose(active.shares.utilities_e6, utilities, atol=2)
    assert active.contribution.utilities_e6 == active.shares.utilities_e6
    assert active.contribution.shares_e6 == shapley_e6(active.shares.utilities_e6)
    assert active.contribution.rounds_e6[-1] == active.shares.shares_e6


def test_conditional_shares_are_told_and_recorded_as_the_others_are(executor: Executor, dlog: DlogTable) -> None:
    case = objective_case("multiclass")
    spec = case.spec.model_copy(update={"contribution": ContributionSpec(method="conditional")})
    result = simulate(JobSpec.from_bytes(spec.to_bytes()), case.tables, executor=executor, dlog=dlog)
    active, roster = result.active, spec.names
    bits, labels = [], case.tables[roster[0]].take([active.session.ids[row] for row in active.session.holdout]).label
    for place, name in enumerate(roster):
        one = result.outcomes[name]
        answerer = answerer_of(one.shard, one.session, case.tables[name])
        holdout = np.asarray(active.session.holdout, dtype=np.int64)
        bits.append(whole_bits(active.shard, place, answerer.bits(holdout)))
    assert labels is not None
    expected = conditional_shapley(active.shard, bits, labels)
    assert active.shares == expected
    assert active.contribution is not None
    assert active.contribution.shares_e6 == expected.shares_e6
    assert active.contribution.rounds_e6 == expected.rounds_e6
