"""A report is of one block, or says that it is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.node.reporting import reading
from fedchain.node.reporting.facts import JobReport
from tests.unit.node.reporting.facts import report


def read(heads: list[int], blocks: list[int], monkeypatch: pytest.MonkeyPatch) -> JobReport:
    """Heads are what the chain answers after each reading; blocks are those of the readings."""
    consortium: Any = SimpleNamespace(client=SimpleNamespace(head=lambda: heads.pop(0)))
    monkeypatch.setattr(reading, "_read", lambda *_: report(block=blocks.pop(0)))
    view: Any = SimpleNamespace(job_id="0x")
    return reading.read_report(consortium, view)


def test_it_is_read_again_where_a_block_came_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read([11, 12], [10, 12], monkeypatch)
    assert (found.block, found.notes) == (12, ())


def test_it_says_so_where_the_chain_is_too_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    found = read([11, 12, 13], [10, 11, 12], monkeypatch)
    assert found.block == 12
    assert "Blocks came while this was read" in found.notes[0]
