"""What a node assumes of what it did before, when it is put together."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fedchain.errors import AskRefusedError
from fedchain.node.online.online import SERIALS, Online
from fedchain.types import JobId

JOB = JobId("0x" + "5c" * 32)


@pytest.mark.parametrize(
    ("status", "may_have_answered"),
    [("proposed", False), ("declined", False), ("running", True), ("completed", True), ("failed", False)],
)
def test_a_restored_node_refuses_what_it_may_have_answered_since(
    tmp_path: Path, status: str, may_have_answered: bool
) -> None:
    """A backup does not hold the serials, and may be older than the end of a job."""
    exchange = SimpleNamespace(
        consortium=SimpleNamespace(inference=SimpleNamespace(reserved=lambda *asked: SimpleNamespace(next=50))),
        state=SimpleNamespace(jobs=lambda: [SimpleNamespace(status=status)]),
        directory=SimpleNamespace(listen=lambda listener: None),
    )
    config = SimpleNamespace(state=SimpleNamespace(folder=tmp_path))
    online = Online(cast(Any, config), cast(Any, exchange), address="0xaa")
    try:
        assert (tmp_path / SERIALS).exists()
        if may_have_answered:
            with pytest.raises(AskRefusedError, match="reserve anew"):
                online._serials.spend(JOB, "0xbb", 10, 1)
        else:
            online._serials.spend(JOB, "0xbb", 10, 1)
    finally:
        online.close()
