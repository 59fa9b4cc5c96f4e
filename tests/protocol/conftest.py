"""Finished jobs, each run once for all tests that look at it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair
from fedchain.simulation.federation import SimulationResult, simulate
from fedchain.training.boosting.params import BoostingParams
from tests.protocol.adversary import Recorder
from tests.protocol.boosting import Training
from tests.protocol.cases import make_case

Finished = Callable[[str], tuple[SimulationResult, Recorder]]


@pytest.fixture(scope="session")
def finished(executor: Executor, dlog: DlogTable) -> Finished:
    """The result of a named case and all that was sent in it."""
    done: dict[str, tuple[SimulationResult, Recorder]] = {}

    def run(name: str) -> tuple[SimulationResult, Recorder]:
        if name not in done:
            case, recorder = make_case(name), Recorder()
            done[name] = (simulate(case.spec, case.tables, executor=executor, dlog=dlog, tap=recorder), recorder)
        return done[name]

    return run


@pytest.fixture(scope="session")
def training(gradient_keys: KeyPair, executor: Executor, dlog: DlogTable) -> Training:
    return Training(gradient_keys, dlog, executor)


@pytest.fixture(scope="session")
def leaf_wise(gradient_keys: KeyPair, executor: Executor, dlog: DlogTable) -> Training:
    """The same, trees of five leaves that grow leaf by leaf."""
    training = Training(gradient_keys, dlog, executor)
    settings = {**training.params.model_dump(), "depth": 3, "growth": "leaf_wise", "max_leaves": 5}
    training.params = BoostingParams(**settings)
    return training
