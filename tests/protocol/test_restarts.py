"""A party that is killed before any action, and starts anew from what it remembered, changes nothing of the model."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.federation.party import JobOutcome, job_party
from fedchain.messages import Gradients, decode
from fedchain.protocol import Action, AuditState, BeginRound, Party, Remember, Send, Stage
from fedchain.simulation.channel import Channel, Kills
from fedchain.types import Kind, PartyId
from tests.protocol.adversary import Recorder
from tests.protocol.auditing import audited_case
from tests.protocol.cases import Case, make_case, with_algorithm

SETTINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "standard": ("three parties", {"mode": "standard", "trees": 2, "depth": 2}),
    "layered": ("three parties", {"mode": "layered", "trees": 3, "depth": 3, "min_leaf_rows": 6, "min_bin_rows": 5}),
    "mix": ("two parties", {"mode": "mix", "trees": 3, "depth": 2, "min_leaf_rows": 6, "min_bin_rows": 5}),
    "leaf-wise": ("two parties", {"mode": "standard", "trees": 2, "depth": 4, "growth": "leaf_wise", "max_leaves": 4}),
}
Points = Mapping[PartyId, Set[int]]


class Run:
    """A job whose parties die before the actions of the given numbers; counts all actions."""

    def __init__(self, case: Case, executor: Executor, dlog: DlogTable, kills: Points) -> None:
        self.case, self.executor, self.dlog = case, executor, dlog
        self.kills = kills
        self.actions: dict[PartyId, list[Action]] = {name: [] for name in case.spec.names}
        self.recorder = Recorder()
        self.audit: AuditState | None = None

    def party(self, name: PartyId) -> Party[JobOutcome]:
        dlog = self.dlog if name == self.case.spec.names[0] else None
        return job_party(self.case.spec, name, self.case.tables[name], executor=self.executor, dlog=dlog)

    def dies(self, name: PartyId, number: int, action: Action) -> bool:
        self.actions[name].append(action)
        return number in self.kills.get(name, set())

    def digest(self) -> str:
        channel = Channel(tap=self.recorder, kills=Kills(self.dies, self.party))
        outcomes = channel.run({name: self.party(name) for name in self.case.spec.names})
        self.audit = channel.audit.state
        (digest,) = {outcome.model_digest for outcome in outcomes.values()}
        return digest


@pytest.fixture(scope="module")
def undisturbed(executor: Executor, dlog: DlogTable) -> Any:
    done: dict[str, tuple[Case, Run, str]] = {}

    def once(settings: str) -> tuple[Case, Run, str]:
        if settings not in done:
            name, algorithm = SETTINGS[settings]
            case = with_algorithm(make_case(name), **algorithm)
            run = Run(case, executor, dlog, {})
            done[settings] = (case, run, run.digest())
        return done[settings]

    return once


@pytest.mark.parametrize("party", [0, 1])
@pytest.mark.parametrize("settings", list(SETTINGS))
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.soak)])
def test_a_party_killed_before_any_one_action_ends_with_the_same_model(
    settings: str, party: int, step: int, undisturbed: Any, executor: Executor, dlog: DlogTable
) -> None:
    case, run, expected = undisturbed(settings)
    name = case.spec.names[party]
    total = len(run.actions[name])
    for number in range(party, total, step):
        again = Run(case, executor, dlog, {name: {number}})
        assert again.digest() == expected, f"killed before {run.actions[name][number]}"


@pytest.mark.parametrize("seed", range(6))
def test_parties_killed_again_and_again_end_with_the_same_model(
    seed: int, undisturbed: Any, executor: Executor, dlog: DlogTable
) -> None:
    case, _, expected = undisturbed("layered")
    random = np.random.default_rng(seed)
    kills = {name: set(random.choice(150, size=5, replace=False).tolist()) for name in case.spec.names}
    assert Run(case, executor, dlog, kills).digest() == expected


def test_gradients_that_are_encrypted_again_after_a_restart_take_fresh_masks(
    undisturbed: Any, executor: Executor, dlog: DlogTable
) -> None:
    """The restarted party encrypts again, under new randomness; the recorded ciphertexts stay the only ones sent."""
    case, run, _ = undisturbed("standard")
    name = case.spec.names[0]
    after = next(
        number
        for number, action in enumerate(run.actions[name])
        if isinstance(action, Send) and isinstance(action.message, Gradients)
    )
    killed = Run(case, executor, dlog, {name: {after + 1}})
    killed.digest()
    tried = [
        one.message.ciphertexts
        for one in killed.actions[name]
        if isinstance(one, Send) and isinstance(one.message, Gradients)
    ]
    sent = [decode(payload, Gradients).ciphertexts for _, payload in killed.recorder.of(Kind.GRADIENTS)]
    assert len(tried) == len(sent) + 1
    points = [raw[place : place + 33] for raw in tried for place in range(0, len(raw), 33)]
    assert len(set(points)) == len(points)


@pytest.mark.parametrize("party", [0, 1])
@pytest.mark.parametrize("step", [3, pytest.param(1, marks=pytest.mark.soak)])
def test_a_party_killed_in_an_audit_ends_with_the_same_verdict(
    party: int, step: int, executor: Executor, dlog: DlogTable
) -> None:
    """Labels, frozen outputs and the drawn seed are those of before the restart: all else would be refused."""
    case = audited_case(trees=1, depth=2)
    run = Run(case, executor, dlog, {})
    expected, name = run.digest(), case.spec.names[party]
    assert run.audit is not None
    actions = run.actions[name]
    begun = next(i for i, action in enumerate(actions) if isinstance(action, Remember) and "audit" in action.name)
    trained = next(i for i, action in enumerate(actions) if isinstance(action, BeginRound))
    evaluated = next(i for i, one in enumerate(actions) if isinstance(one, Stage) and one.name == "contribution")
    for number in [*range(begun, trained + 1), *range(evaluated, len(actions))][::step]:
        again = Run(case, executor, dlog, {name: {number}})
        assert again.digest() == expected, f"killed before {actions[number]}"
        assert again.audit is not None
        assert (again.audit.outcome, again.audit.votes, again.audit.silent) == ("verified", (0, 1, 1), (0, 0, 0))
