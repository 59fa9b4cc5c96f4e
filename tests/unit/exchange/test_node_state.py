"""NodeState: nothing recorded is lost, and nothing is mixed up between chains."""

from __future__ import annotations

import dataclasses
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fedchain.errors import ConfigError, TrainingError, WrongChainError
from fedchain.exchange import NodeState
from fedchain.exchange.records import Cursor, JobRecord, OutgoingUplink, RequestRecord
from fedchain.types import JobId, Kind

GENESIS = b"\x01" * 32
JOB = JobId("0x" + "ab" * 32)
UPLINK = OutgoingUplink(JOB, 1, 0, 3, Kind.SPLIT, "", b"\x05" * 32, 5, 0, b"bytes")


_opened: list[NodeState] = []


def opened(path: Path, *, chain_id: int = 1337, genesis: bytes = GENESIS) -> NodeState:
    """A state that stays open until the end of the test: what another reads was not written by closing it."""
    _opened.append(NodeState(path / "node.sqlite", chain_id=chain_id, genesis_hash=genesis))
    return _opened[-1]


@pytest.fixture(autouse=True)
def _close_states() -> Iterator[None]:
    yield
    while _opened:
        _opened.pop().close()


def test_the_cursor_survives_a_restart(tmp_path: Path) -> None:
    first = opened(tmp_path)
    assert first.cursor() is None
    first.advance(Cursor(7, b"\x07" * 32), [(b"\x07" * 32, 0, 7)])
    assert opened(tmp_path).cursor() == Cursor(7, b"\x07" * 32)


def test_a_delivered_event_is_known_by_block_hash_and_log_index_after_a_restart(tmp_path: Path) -> None:
    opened(tmp_path).advance(Cursor(7, b"\x07" * 32), [(b"\x07" * 32, 2, 7)])
    again = opened(tmp_path)
    assert again.is_seen(b"\x07" * 32, 2)
    assert not again.is_seen(b"\x07" * 32, 3)
    assert not again.is_seen(b"\x08" * 32, 2)


def test_an_uplink_is_recorded_before_it_is_sent_and_kept_with_its_bytes(tmp_path: Path) -> None:
    opened(tmp_path).prepare(UPLINK)
    assert opened(tmp_path).uplinks(JOB) == [UPLINK]


def test_a_verdict_is_recorded(tmp_path: Path) -> None:
    state = opened(tmp_path)
    state.prepare(UPLINK)
    state.settle(UPLINK, "rejected: SLOT_TAKEN", "0xaa")
    assert opened(tmp_path).uplinks(JOB) == [dataclasses.replace(UPLINK, status="rejected: SLOT_TAKEN", tx="0xaa")]


def test_one_slot_never_shows_two_digests(tmp_path: Path) -> None:
    opened(tmp_path).prepare(UPLINK)
    with pytest.raises(TrainingError, match="two digests"):
        opened(tmp_path).prepare(dataclasses.replace(UPLINK, digest=b"\x06" * 32, payload=b"other"))
    assert opened(tmp_path).uplinks(JOB) == [UPLINK]


def test_preparing_the_same_uplink_again_returns_the_first_record(tmp_path: Path) -> None:
    state = opened(tmp_path)
    state.prepare(UPLINK)
    state.settle(UPLINK, "accepted", "0xaa")
    assert state.prepare(UPLINK).status == "accepted"


@pytest.mark.parametrize("change", [{"step": 4}, {"recipient": "0xA"}, {"kind": Kind.PARTITION}, {"attempt": 1}])
def test_another_slot_is_another_record(tmp_path: Path, change: dict[str, object]) -> None:
    state = opened(tmp_path)
    state.prepare(UPLINK)
    other = dataclasses.replace(UPLINK, digest=b"\x06" * 32, **change)  # type: ignore[arg-type]
    assert state.prepare(other) == other
    assert len(state.uplinks(JOB, 1)) == 2


def test_a_reset_chain_is_refused_and_both_genesis_blocks_are_named(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with pytest.raises(WrongChainError) as caught:
        opened(tmp_path, genesis=b"\x02" * 32)
    assert "01" * 32 in str(caught.value)
    assert "02" * 32 in str(caught.value)


def test_another_chain_id_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with pytest.raises(WrongChainError, match="1338"):
        opened(tmp_path, chain_id=1338)


def test_a_file_that_is_no_state_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "node.sqlite").write_bytes(b"not a database, but long enough to look like a file" * 10)
    with pytest.raises(ConfigError, match="node state"):
        opened(tmp_path)


def test_a_state_of_another_version_is_a_config_error(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "node.sqlite")) as db, db:
        db.execute("UPDATE meta SET value = '999' WHERE key = 'version'")
    with pytest.raises(ConfigError, match="999"):
        opened(tmp_path)


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    opened(tmp_path).close()
    assert stat.S_IMODE((tmp_path / "node.sqlite").stat().st_mode) == 0o600


def test_jobs_and_requests_survive_a_restart(tmp_path: Path) -> None:
    state = opened(tmp_path)
    job = JobRecord(JOB, 4, "0xP", b"{}")
    assert state.remember_job(job) == job
    state.set_job_status(JOB, "failed", "why")
    state.remember_request(RequestRecord(JOB, 2**31, 9, "0xR"))
    state.set_request_status(JOB, 2**31, "served")
    again = opened(tmp_path)
    assert again.remember_job(job) == dataclasses.replace(job, status="failed", error="why")
    assert again.jobs() == [dataclasses.replace(job, status="failed", error="why")]
    assert again.requests(JOB) == [RequestRecord(JOB, 2**31, 9, "0xR", "served")]
    again.remember_request(RequestRecord(JOB, 2**31 + 1, 9, "0xR", "asked"))
    assert again.request(JOB, 2**31) == RequestRecord(JOB, 2**31, 9, "0xR", "served")
    assert again.request(JOB, 7) is None
    assert [one.status for one in again.requests_in(("asked", "scored", "served"))] == ["served", "asked"]
    assert again.requests_in(("scored",)) == []
