"""The node's side of a batch: serials, tries, and batches that it does not know."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedchain.errors import ConfigError, DeadlineError, MessageError, ProtocolViolationError
from fedchain.federation.spec import JobSpec
from fedchain.node.bulk import desk
from fedchain.node.bulk.desk import BatchDesk
from fedchain.node.bulk.runner import Flags, Scores
from fedchain.node.bulk.wire import BatchOpened, BatchScored, BatchStarted, EndBatch, OpenBatch, ScoreBatch, StartBatch
from fedchain.node.control_wire import pack, unpack
from fedchain.node.modelstate import ModelUse
from fedchain.types import JobId

JOB = JobId("0x" + "ab" * 32)
SPEC = JobSpec.from_toml_text(
    """
name = "arrears"
[[parties]]
name = "operator"
role = "active"
id = "customer"
label = "y"
[[parties]]
name = "bank"
role = "passive"
id = "iban"
"""
)


class Asking:
    """Scores a row by its id's length."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.reserved: list[int] = []
        self.asked: list[list[str]] = []
        self.taken: list[str] = []
        self.given_back: list[str] = []

    def describe(self, job_id: JobId) -> tuple[JobSpec, tuple[str, ...], int]:
        if job_id != JOB:
            raise ConfigError("job is unknown to this node")
        return SPEC, ("customer",), 1

    def reserve(self, job_id: JobId, rows: int) -> Any:
        self.reserved.append(rows)
        name = f"serials {len(self.reserved)}"
        return SimpleNamespace(name=name, give_back=lambda: self.given_back.append(name))

    def score(self, job_id: JobId, ids: Sequence[str], serials: Any) -> tuple[Scores, Flags]:
        self.taken.append(serials.name)
        self.asked.append(list(ids))
        if self.errors:
            raise self.errors.pop(0)
        return np.array([[len(one) / 2] for one in ids]), np.zeros(len(ids), np.uint8)


def started(asking: Asking, rows: int) -> tuple[BatchDesk, str, list[float]]:
    pauses: list[float] = []
    batches = BatchDesk(asking, lambda target: JOB, lambda job_id: ModelUse("arrears", 2, 3), pauses.append)
    raw = batches.methods()["StartBatch"](pack(StartBatch(JOB, rows)))
    return batches, unpack(raw, BatchStarted).batch, pauses


def score(batches: BatchDesk, batch: str, offset: int, ids: list[str]) -> list[float]:
    raw = batches.methods()["ScoreBatch"](pack(ScoreBatch(batch, offset, ids)))
    scores: list[float] = np.frombuffer(unpack(raw, BatchScored).scores, "<f8").tolist()
    return scores


def test_the_node_says_what_answers_and_how_ids_are_spelled() -> None:
    batches, _, _ = started(Asking(), 1)
    opened = unpack(batches.methods()["OpenBatch"](pack(OpenBatch("arrears"))), BatchOpened)
    assert (opened.job_id, opened.model, opened.columns) == (JOB, ("arrears", 2, 3), ("customer",))
    assert JobSpec.from_bytes(opened.spec).alignment.rules == SPEC.alignment.rules


def test_all_rows_are_reserved_once_and_no_more_are_scored() -> None:
    asking = Asking()
    batches, batch, _ = started(asking, 16)
    assert score(batches, batch, 14, ["y", "zz"]) == [0.5, 1.0]
    with pytest.raises(ConfigError, match="more rows than it reserved"):
        score(batches, batch, 15, ["y", "z"])
    assert asking.reserved == [16]
    assert asking.asked == [["y", "zz"]]


def test_a_chunk_that_was_not_answered_is_asked_again() -> None:
    asking = Asking(DeadlineError("party 'bank' did not answer in time"))
    batches, batch, pauses = started(asking, 3)
    assert score(batches, batch, 0, ["a", "b", "cc"]) == [0.5, 0.5, 1.0]
    assert asking.asked == [["a", "b", "cc"]] * 2
    assert pauses == [1.0]


def test_it_gives_up_after_some_tries_and_at_once_where_a_party_misbehaves() -> None:
    asking = Asking(*(DeadlineError(f"{number}") for number in range(desk.TRIES)))
    batches, batch, pauses = started(asking, 3)
    with pytest.raises(DeadlineError, match="2"):
        score(batches, batch, 0, ["a", "b", "c"])
    assert len(pauses) == desk.TRIES - 1
    asking.errors = [ProtocolViolationError("bank", "sent nonsense")]
    with pytest.raises(ProtocolViolationError, match="bank"):
        score(batches, batch, 0, ["a", "b", "c"])
    assert len(pauses) == desk.TRIES - 1


def test_a_batch_that_ended_or_was_never_started_is_told_apart_from_an_error_of_the_user() -> None:
    batches, batch, _ = started(Asking(), 3)
    batches.methods()["EndBatch"](pack(EndBatch(batch)))
    with pytest.raises(ConfigError, match="run the command again"):
        score(batches, batch, 0, ["a"])


def test_so_many_batches_at_a_time_and_idle_ones_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    batches, _, _ = started(Asking(), 1)
    start = batches.methods()["StartBatch"]
    for _ in range(desk.MAX_BATCHES - 1):
        start(pack(StartBatch(JOB, 1)))
    with pytest.raises(ConfigError, match="batches are under way"):
        start(pack(StartBatch(JOB, 1)))
    monkeypatch.setattr(desk, "IDLE_SECONDS", -1.0)
    start(pack(StartBatch(JOB, 1)))


def test_each_batch_takes_its_own_serials_and_gives_back_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    asking = Asking()
    batches, first, _ = started(asking, 3)
    start, end = batches.methods()["StartBatch"], batches.methods()["EndBatch"]
    second = unpack(start(pack(StartBatch(JOB, 3))), BatchStarted).batch
    for batch in (second, first, second):
        score(batches, batch, 0, ["a"])
    assert asking.taken == ["serials 2", "serials 1", "serials 2"]
    end(pack(EndBatch(second)))
    end(pack(EndBatch(second)))
    assert asking.given_back == ["serials 2"]
    monkeypatch.setattr(desk, "IDLE_SECONDS", -1.0)
    start(pack(StartBatch(JOB, 1)))
    assert asking.given_back == ["serials 2", "serials 1"]


def test_nothing_is_reserved_for_a_job_that_cannot_be_asked() -> None:
    asking = Asking()
    batches, _, _ = started(asking, 1)
    with pytest.raises(ConfigError, match="unknown to this node"):
        batches.methods()["StartBatch"](pack(StartBatch("0x00", 5)))
    assert asking.reserved == [1]


@pytest.mark.parametrize("request_", [ScoreBatch("x", 0, []), StartBatch(JOB, 0), ScoreBatch("x", -1, ["a"])])
def test_messages_out_of_bounds_are_refused(request_: ScoreBatch | StartBatch) -> None:
    batches, _, _ = started(Asking(), 1)
    with pytest.raises(MessageError):
        batches.methods()[type(request_).__name__](pack(request_))
