"""Finished jobs, each run once for all tests that look at it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair
from fedchain.simulation.federation import SimulationResult, simulate
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
