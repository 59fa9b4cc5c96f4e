"""What an answerer refuses before it works, and what its refusals tell."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from fedchain.errors import AskRefusedError
from fedchain.node.online.answering import Answering
from fedchain.node.online.meter import NoMeter
from fedchain.node.online.rounds import PREPARE

CALLER: Any = SimpleNamespace(name="shop", address="0xaa")


def answering(*, roster: tuple[str, ...] = ("0xbb", "0xaa")) -> tuple[Answering, list[str]]:
    """A node's, and which jobs it was asked to load."""
    loaded: list[str] = []

    def get(job_id: str) -> Any:
        loaded.append(job_id)
        return SimpleNamespace(addresses={"bank": "0xbb", "shop": "0xaa"}, is_active=False)

    def record(job_id: str) -> Any:
        return SimpleNamespace(status="completed") if job_id == "0x" + "5c" * 32 else None

    exchange = SimpleNamespace(
        state=SimpleNamespace(job=record),
        consortium=SimpleNamespace(job=lambda job_id: SimpleNamespace(roster=roster)),
    )
    jobs = SimpleNamespace(get=get)
    return Answering(cast(Any, jobs), cast(Any, None), cast(Any, exchange), cast(Any, None), NoMeter()), loaded


@pytest.mark.parametrize("size", [0, 31, 33, 2**20])
def test_a_job_of_another_length_is_no_job_and_is_not_repeated(size: int) -> None:
    mine, loaded = answering()
    with pytest.raises(AskRefusedError) as refused:
        mine.answer(CALLER, PREPARE + bytes(size))
    assert refused.value.code == "forged"
    assert len(str(refused.value)) < 200
    assert not loaded
    assert mine.answer(CALLER, PREPARE + bytes([0x5C]) * 32) == PREPARE
