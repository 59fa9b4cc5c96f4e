"""What an answerer refuses before it works, and what its refusals tell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from fedchain.errors import (
    AskRefusedError,
    BusyError,
    ChainUnreachableError,
    DataError,
    FedchainError,
    PeerError,
    QuotaExceededError,
)
from fedchain.messages.base import encode
from fedchain.messages.online import ScoreAsk
from fedchain.node.online.answering import Answering
from fedchain.node.online.meter import NoMeter
from fedchain.node.online.rounds import PREPARE, SCORE_ASK
from fedchain.types import JobId

CALLER: Any = SimpleNamespace(name="shop", address="0xaa")


def answering(*, roster: tuple[str, ...] = ("0xbb", "0xaa")) -> tuple[Answering, list[str]]:
    """A node's, and which jobs it was asked to load."""
    loaded: list[str] = []

    def get(job_id: str) -> Any:
        loaded.append(job_id)
        table = SimpleNamespace(default=b"bits")
        return SimpleNamespace(addresses={"bank": "0xbb", "shop": "0xaa"}, is_active=False, active="bank", table=table)

    def record(job_id: str) -> Any:
        return SimpleNamespace(status="completed") if job_id == "0x" + "5c" * 32 else None

    exchange = SimpleNamespace(state=SimpleNamespace(job=record))
    jobs = SimpleNamespace(get=get, roster=lambda job_id: roster)
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


def test_the_active_party_alone_is_told_the_default_bits() -> None:
    question, active = PREPARE + bytes([0x5C]) * 32, SimpleNamespace(name="bank", address="0xbb")
    assert answering()[0].answer(cast(Any, active), question) == PREPARE + b"bits"
    assert answering()[0].answer(CALLER, question) == PREPARE


def test_nothing_is_loaded_for_whoever_is_not_in_the_job() -> None:
    mine, loaded = answering(roster=("0xbb", "0xcc"))
    with pytest.raises(AskRefusedError, match="none of party 'shop'") as refused:
        mine.answer(CALLER, PREPARE + bytes([0x5C]) * 32)
    assert refused.value.code == "unknown-job"
    assert not loaded


class Relays:
    """The active party's rounds; `error` is what each of them ends with."""

    def __init__(self, error: FedchainError) -> None:
        self.error = error
        self.entered, self.go_on = threading.Semaphore(0), threading.Event()

    def __call__(self, job: Any) -> Any:
        return self

    def begin(self, positions: Any, **forms: Any) -> Any:
        self.entered.release()
        assert self.go_on.wait(20)
        raise self.error


def relaying(
    error: FedchainError, monkeypatch: pytest.MonkeyPatch, rows: int = 1, planes: bool = False, bits: int = 8
) -> tuple[Relays, Callable[[], bytes], list[int]]:
    """The active party's rounds, a passive party's question, and the serials that are spent."""
    job = SimpleNamespace(
        job_id="0x" + "5c" * 32, is_active=True, active="bank", me="bank", passive=("shop", "till"),
        domain=None, model=bytes(32),
        spec=SimpleNamespace(inference=SimpleNamespace(deadline_ms=1, explanations=False)),
        answers=SimpleNamespace(positions=lambda *asked: np.zeros(rows, np.int64)),
        address_bytes=lambda party: bytes(20),
        most_bits=bits, addresses={"bank": "0xbb", "shop": "0xaa", "till": "0xcc"},
    )  # fmt: skip
    monkeypatch.setattr("fedchain.node.online.answering.check_ask", lambda *parts: bytes(32))
    relays, spent = Relays(error), list[int]()
    jobs = SimpleNamespace(get=lambda job_id: job, roster=lambda job_id: ("0xbb", "0xaa"))
    exchange = SimpleNamespace(state=SimpleNamespace(job=lambda job_id: job))
    serials = SimpleNamespace(spend=lambda job_id, address, first, rows: spent.append(first))
    mine = Answering(cast(Any, jobs), cast(Any, serials), cast(Any, exchange), cast(Any, relays), NoMeter())
    caller: Any = SimpleNamespace(name="shop", address="0xaa", signer="0xaa")
    question = SCORE_ASK + encode(
        ScoreAsk(
            job=bytes([0x5C]) * 32, requester=bytes(20), answerer=bytes(20), epoch=0, first_serial=3,
            tags=bytes(16 * rows), model=bytes(32), nonce=bytes(16), signature=bytes(65), bits=b"x", planes=planes,
        )
    )  # fmt: skip
    return relays, lambda: mine.answer(caller, question), spent


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ChainUnreachableError("http://node/v3/KEY does not answer"), "cannot read the chain"),
        (DataError("/srv/table.csv: no column"), "see its log"),
        (PeerError("till", "is of another mind"), "till"),
        (QuotaExceededError(JobId("0x" + "5c" * 32), 3, 400), "its own asks are at their quota"),
    ],
)
def test_a_failed_relay_says_nothing_of_this_node(
    error: FedchainError, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    relays, ask, _ = relaying(error, monkeypatch)
    relays.go_on.set()
    with pytest.raises(AskRefusedError, match=told) as refused:
        ask()
    assert not {"KEY", "/srv"} & {word for word in ("KEY", "/srv") if word in str(refused.value)}


def test_a_requester_has_so_many_relays_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    relays, ask, spent = relaying(PeerError("till", "is of another mind"), monkeypatch)
    with ThreadPoolExecutor(6) as pool:
        under_way = [pool.submit(ask) for _ in range(6)]
        for _ in under_way:
            assert relays.entered.acquire(timeout=20)
        with pytest.raises(BusyError, match="6 asks for party 'shop'"):
            ask()
        assert len(spent) == 6, "nothing is spent for what is not relayed"
        relays.go_on.set()
        for one in under_way:
            assert isinstance(one.exception(), AskRefusedError)
    with pytest.raises(AskRefusedError):
        ask()


@pytest.mark.parametrize(
    ("rows", "planes", "bits", "is_taken"),
    [(4095, False, 8, True), (4096, False, 8, False), (4096, True, 8, True), (513, True, 2**22, False)],
)
def test_more_rows_than_go_in_one_ask_are_refused_before_serials_are_spent(
    rows: int, planes: bool, bits: int, is_taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    relays, ask, spent = relaying(PeerError("till", "is of another mind"), monkeypatch, rows, planes, bits)
    relays.go_on.set()
    with pytest.raises(AskRefusedError) as refused:
        ask()
    assert refused.value.code == ("failed" if is_taken else "forged")
    assert spent == ([3] if is_taken else [])
