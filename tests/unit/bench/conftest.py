"""Benchmarks load the full table of logarithms from the user's cache; here they take the small one of the tests."""

from __future__ import annotations

import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable

SmallTable = DlogTable


@pytest.fixture
def small_dlog(dlog: DlogTable, monkeypatch: pytest.MonkeyPatch) -> SmallTable:
    def small(*, executor: Executor) -> DlogTable:
        return dlog

    monkeypatch.setattr(DlogTable, "load_or_build", small)
    return dlog
