"""Gain of splits per party: what the joined plaintext model gains, and the same after a restart."""

from __future__ import annotations

import numpy as np
import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.federation.party import job_party
from fedchain.messages import Contribution, decode
from fedchain.protocol import Action, Checkpoint, Party
from fedchain.simulation.channel import Channel, Kills
from fedchain.simulation.plaintext import fit
from fedchain.simulation.plaintext_shards import joined_model
from fedchain.simulation.reference import fit_settings, join
from fedchain.types import Kind, PartyId
from tests.protocol.adversary import Recorder
from tests.protocol.cases import Case, make_case, with_algorithm


def published(case: Case, executor: Executor, dlog: DlogTable, killed_after: int = 0) -> Contribution:
    """What the active party says of a job; it dies once, at the action after so many checkpoints of training."""
    active = case.spec.names[0]
    checkpoints, died = 0, False

    def party(name: PartyId) -> Party[object]:
        own = dlog if name == active else None
        return job_party(case.spec, name, case.tables[name], executor=executor, dlog=own)

    def dies(name: PartyId, number: int, action: Action) -> bool:
        nonlocal checkpoints, died
        if name != active or died or not killed_after:
            return False
        died = checkpoints == killed_after
        checkpoints += isinstance(action, Checkpoint)
        return died

    recorder = Recorder()
    Channel(tap=recorder, kills=Kills(dies, party)).run({name: party(name) for name in case.spec.names})
    assert died == bool(killed_after)
    ((_, payload),) = recorder.of(Kind.CONTRIBUTION)
    return decode(payload, Contribution)


def test_parts_of_the_gain_are_those_of_the_joined_model(executor: Executor, dlog: DlogTable) -> None:
    case = make_case("three parties")
    spec = case.spec
    joined = join(spec, case.tables)
    fitted = fit(joined.matrices, joined.labels, ~joined.train, **fit_settings(spec, joined, spec.algorithm.trees))
    rows = np.flatnonzero(joined.holdout)
    plain = joined_model(fitted, joined.matrices, spec.names, spec.algorithm.objective, joined.train, rows)
    found = published(case, executor, dlog)
    expected = [1e6 * gain / sum(plain.gains) for gain in plain.gains]
    np.testing.assert_allclose(found.gains_e6, expected, atol=500)
    assert abs(sum(found.gains_e6) - 10**6) <= 3


@pytest.mark.parametrize("checkpoints", [1, 3, 4])
def test_gains_and_running_shares_outlive_a_restart(checkpoints: int, executor: Executor, dlog: DlogTable) -> None:
    """The free-rider test draws its permutations from the job's salt, which is another one in each run."""
    case = with_algorithm(make_case("two parties"), mode="mix", trees=4, depth=2, min_leaf_rows=6, min_bin_rows=5)
    undisturbed = published(case, executor, dlog)
    assert len(undisturbed.rounds_e6) == 4
    assert undisturbed.rounds_e6[-1] == undisturbed.shares_e6
    assert undisturbed.p_values_e6[0] == 0 < undisturbed.p_values_e6[1]
    killed = published(case, executor, dlog, checkpoints)
    for name in ("utilities_e6", "shares_e6", "rounds_e6", "gains_e6"):
        assert getattr(killed, name) == getattr(undisturbed, name)
