"""Shared and slow to make: a small table of discrete logarithms, an executor, a gradient key pair with its tables."""

from __future__ import annotations

import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair


@pytest.fixture(scope="session")
def executor() -> Executor:
    return Executor(n_jobs=2)


@pytest.fixture(scope="session")
def dlog(tmp_path_factory: pytest.TempPathFactory, executor: Executor) -> DlogTable:
    return DlogTable.load_or_build(tmp_path_factory.mktemp("dlog") / "table.bin", 1 << 15, executor=executor)


@pytest.fixture(scope="session")
def gradient_keys(executor: Executor) -> KeyPair:
    pair = KeyPair.generate(2)
    pair.public.tables(executor)
    return pair
