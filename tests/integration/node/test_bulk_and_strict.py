"""Three whole nodes over the embedded chain: a file of ids, and requests that go over the chain, each ended once."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fedchain.chain import (
    Account,
    Consortium,
    Deployment,
    DevChain,
    RequestAsked,
    RequestClosed,
    RequestRefused,
    RequestStatus,
    Sender,
)
from fedchain.errors import ConfigError, DeadlineError, QuotaExceededError, StoppingError
from fedchain.node.audit import StateFolder, audit_job
from fedchain.node.bulk import runner
from fedchain.node.bulk.client import BatchClient
from fedchain.node.bulk.runner import run_batch
from fedchain.node.jobfiles import JobFiles
from fedchain.node.online.job import EPOCH
from fedchain.node.runtime import Node
from fedchain.node.strict.predictions import predict_strictly
from fedchain.types import JobId, Reason
from tests.integration.node.test_online import trained
from tests.integration.node.test_running_nodes import Member, made_members

pytestmark = pytest.mark.timeout(120)

QUOTA = 400
CHUNK = 16


@dataclass
class World:
    """Running nodes and a finished job; the operator, who is the active party, first."""

    members: list[Member]
    job_id: JobId

    def node(self, place: int) -> Node:
        node = self.members[place].node
        assert node is not None
        return node

    def holdout(self) -> tuple[list[str], NDArray[np.float64]]:
        """Ids of the held-out rows, and their scores as the evaluation found them."""
        folder = self.members[0].config.state.folder
        report = json.loads((folder / "jobs" / self.job_id / "report.json").read_text())
        ids = JobFiles(folder, self.job_id).load()[2].ids
        return [ids[one] for one in report["holdout_positions"]], np.asarray(report["holdout_scores"])

    def requests(self, since: int = 0) -> tuple[list[RequestAsked], list[RequestRefused], Counter[tuple[int, int]]]:
        """Strict requests on the chain from number `since` on, and how often each was closed with which outcome."""
        consortium = self.node(0).exchange.consortium
        events = consortium.events(0, consortium.client.head())
        mine = [event for event in events if getattr(event, "job_id", None) == self.job_id]
        closed = Counter((e.request_id, int(e.outcome)) for e in mine if isinstance(e, RequestClosed))
        return (
            [event for event in mine if isinstance(event, RequestAsked) and event.request_id >= since],
            [event for event in mine if isinstance(event, RequestRefused) and event.request_id >= since],
            Counter({key: times for key, times in closed.items() if key[0] >= since}),
        )

    def closed(self, request_ids: list[int], seconds: float = 20.0) -> Counter[tuple[int, int]]:
        """How each of them was closed, once all are."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.requests()[2]
            if {request_id for request_id, _ in found} >= set(request_ids) or time.monotonic() > deadline:
                return Counter({key: times for key, times in found.items() if key[0] in request_ids})
            time.sleep(0.05)


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    chain: DevChain,
    deployment: Deployment,
    deployment_path: Path,
    bank: Sender,
    steward: Consortium,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("bulk")
    with pytest.MonkeyPatch.context() as patch:
        save = Account.save_keystore
        patch.setattr(Account, "save_keystore", lambda self, path, phrase: save(self, path, phrase, iterations=2))
        making = made_members(folder, chain, deployment, deployment_path, bank, steward)
        members = next(making)
        for member in members:
            member.start()
        yield World(members, trained(members, "bulk", f"quota = {QUOTA}\ndeadline_ms = 4000"))
        for _ in making:
            pass


def ids_file(folder: Path, ids: list[str]) -> Path:
    path = folder / "ids.csv"
    path.write_text("id\n" + "".join(f"{one}\n" for one in ids))
    return path


def read_scores(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


@pytest.mark.parametrize("place", [0, 1])
def test_a_file_of_ids_gives_the_evaluations_scores_bit_for_bit(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr("fedchain.data.idfile.CHUNK_ROWS", CHUNK)
    ids, expected = world.holdout()
    asked = [*ids, "nobody", " ", *ids[:5]]
    with world.members[place].client() as control:
        summary = run_batch(BatchClient(control), world.job_id, ids_file(tmp_path, asked), tmp_path / "out.csv")
    rows = read_scores(tmp_path / "out.csv")
    assert [row[0] for row in rows] == asked
    found = [float(row[1]) for row in rows if row[1]]
    np.testing.assert_array_equal(found, [*expected, *expected[:5]])
    assert [row[2] for row in rows[len(ids) : len(ids) + 2]] == ["unknown_id", "unknown_id"]
    assert (summary.rows, summary.unscored, summary.flagged) == (len(asked), 2, {"unknown_id": 2})


KILLED = """
import os, signal, sys
from pathlib import Path
from fedchain.data import idfile
from fedchain.node.bulk.client import BatchClient
from fedchain.node.bulk.runner import run_batch
from fedchain.node.control_client import ControlClient

idfile.CHUNK_ROWS = int(sys.argv[5])

def on_progress(progress):
    if progress.done >= 2 * idfile.CHUNK_ROWS:
        os.kill(os.getpid(), signal.SIGKILL)

with ControlClient(Path(sys.argv[1])) as control:
    run_batch(BatchClient(control), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), on_progress=on_progress)
"""


def test_a_killed_run_goes_on_and_writes_the_very_same_file(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedchain.data.idfile.CHUNK_ROWS", 4)
    ids = world.holdout()[0]
    path, out = ids_file(tmp_path, ids), tmp_path / "out.csv"
    with world.members[0].client() as control:
        run_batch(BatchClient(control), world.job_id, path, tmp_path / "whole.csv")
    socket = world.members[0].config.control_socket
    command = [sys.executable, "-c", KILLED, str(socket), world.job_id, str(path), str(out), "4"]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not out.exists()
    with world.members[0].client() as control:
        summary = run_batch(BatchClient(control), world.job_id, path, out)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert summary.asked == len(ids) - 8


def test_the_command_tells_of_rows_flags_and_quota(world: World, tmp_path: Path) -> None:
    member = world.members[0]
    node_toml = member.config.folder / "node.toml"
    socket = json.dumps(str(member.config.serve.control_socket))
    text = node_toml.read_text()
    node_toml.write_text(text.replace('# control_socket = "state/node.sock"', f"control_socket = {socket}"))
    command = [sys.executable, "-m", "fedchain.cli.main", "predict", world.job_id, "--node", str(member.config.folder)]
    path = ids_file(tmp_path, [*world.holdout()[0][:3], "nobody"])
    batch = [*command, "--file", str(path), "--out", str(tmp_path / "scores.csv"), "--json"]
    result = subprocess.run(batch, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["rows"], report["scores"], report["flags"]) == (4, 3, {"unknown_id": 1})
    ids_file(tmp_path, ["x"] * (QUOTA + 1))
    result = subprocess.run(batch, capture_output=True, text=True, timeout=60)
    assert result.returncode != 0
    assert "quota" in result.stderr
    assert result.stderr.count("\n") == 1
    strict = [*command, "--id", world.holdout()[0][0], "--strict", "--json"]
    result = subprocess.run(strict, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["scores"] == [world.holdout()[1][0]]


@pytest.mark.parametrize("place", [0, 2])
def test_strict_requests_are_recorded_answered_and_closed_once(world: World, place: int) -> None:
    ids, expected = world.holdout()
    with world.members[place].client() as control:
        found = predict_strictly(control, world.job_id, [*ids[:4], "nobody"])
    np.testing.assert_array_equal(found.scores[:4], expected[:4])
    assert found.flag_names(4) == ["unknown_id"]
    assert np.isnan(found.scores[4])
    requests = [int(one) for one in found.requests]
    assert requests[4] == -1
    asked = {event.request_id: event for event in world.requests(min(requests[:4]))[0]}
    assert len({asked[one].transaction_hash for one in requests[:4]}) == 1
    assert len({len(asked[one].sealed) for one in requests[:4]}) == 1
    assert world.closed(requests[:4]) == Counter({(one, RequestStatus.DONE): 1 for one in requests[:4]})


def test_requests_of_several_callers_go_together(world: World) -> None:
    ids, expected = world.holdout()
    with world.members[0].client() as control, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: predict_strictly(control, world.job_id, [one]), ids[:8]))
    np.testing.assert_array_equal([one.scores[0] for one in found], expected[:8])
    requests = [int(one.requests[0]) for one in found]
    assert len(set(requests)) == 8
    asked = [event for event in world.requests()[0] if event.request_id in requests]
    assert len({event.transaction_hash for event in asked}) < 8
    assert all(times == 1 for times in world.closed(requests).values())


def test_beyond_the_quota_nothing_is_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = world.holdout()[0]
    node = world.node(2)
    used = node.exchange.consortium.inference.reserved(world.job_id, node.address).used_in_window
    node.exchange.consortium.inference.reserve(world.job_id, QUOTA - used - 1)
    before = len(world.requests()[0])
    with world.members[2].client() as control, pytest.raises(QuotaExceededError):
        predict_strictly(control, world.job_id, ids[:2])
    assert len(world.requests()[0]) == before
    monkeypatch.setattr("fedchain.node.strict.strict.Strict._require_quota", lambda *_: None)
    with world.members[2].client() as control, pytest.raises(QuotaExceededError):  # the contract counts all the same
        predict_strictly(control, world.job_id, ids[:2])
    asked, refused, _ = world.requests()
    assert len(asked) == before + 1
    assert [event.reason for event in refused] == [Reason.RATE_EXCEEDED]
    assert world.closed([asked[-1].request_id]) == Counter({(asked[-1].request_id, RequestStatus.DONE): 1})


def test_a_request_out_of_shape_is_closed_as_rejected_once(world: World) -> None:
    consortium = world.node(1).exchange.consortium
    (asked,) = consortium.inference.ask(world.job_id, [b"no body at all"])
    assert asked.reason is Reason.ACCEPTED
    # the requester's node knows nothing of this request: the active party ends it
    assert world.closed([asked.request_id]) == Counter({(asked.request_id, RequestStatus.REJECTED): 1})


def test_a_silent_party_ends_a_request_as_expired_and_a_batch_keeps_what_it_has(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, expected = world.holdout()
    since = max(event.request_id for event in world.requests()[0]) + 1
    world.members[2].halt()
    path, out = ids_file(tmp_path, ids[:5]), tmp_path / "out.csv"
    with monkeypatch.context() as soon, world.members[0].client() as control:
        soon.setattr("fedchain.node.bulk.asking.LEAST_SECONDS", 1.0)
        soon.setattr("fedchain.node.bulk.asking.DEADLINES", 0)
        soon.setattr("fedchain.node.bulk.desk.FIRST_PAUSE_SECONDS", 0.05)
        soon.setattr("fedchain.node.strict.strict.ANSWER_SECONDS", 1)
        with pytest.raises(DeadlineError, match=world.members[2].name):
            run_batch(BatchClient(control), world.job_id, path, out)
        with pytest.raises(DeadlineError):
            predict_strictly(control, world.job_id, ids[:1])
    (asked,), _, _ = world.requests(since)
    assert world.closed([asked.request_id]) == Counter({(asked.request_id, RequestStatus.EXPIRED): 1})
    world.members[2].start()
    with world.members[0].client() as control:
        assert run_batch(BatchClient(control), world.job_id, path, out).asked == 5
        np.testing.assert_array_equal(predict_strictly(control, world.job_id, ids[:1]).scores, expected[:1])


def test_an_answerer_that_was_stopped_answers_after_its_restart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, expected = world.holdout()
    seen = threading.Event()

    def stopping(*_: object) -> None:
        seen.set()
        raise StoppingError("this node is stopping")

    monkeypatch.setattr(world.node(2)._strict, "_run", stopping)
    with world.members[0].client() as control, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(predict_strictly, control, world.job_id, ids[:1])
        assert seen.wait(20)
        world.members[2].halt()
        world.members[2].start()
        found = waiting.result(30)
    np.testing.assert_array_equal(found.scores, expected[:1])
    request = int(found.requests[0])
    assert world.closed([request]) == Counter({(request, RequestStatus.DONE): 1})


def test_a_request_that_nobody_waits_for_any_more_is_closed_once_when_its_node_is_started_again(world: World) -> None:
    node = world.node(1)
    job = node.online.jobs.get(world.job_id)
    at = job.positions(world.holdout()[0][:1])
    tags = {party: job.asking.tags(party, EPOCH, at) for party in job.addresses if party != job.me}
    body = node._strict._side(job).body_of(tags, EPOCH)
    (asked,) = node.exchange.consortium.inference.ask(world.job_id, [body])
    deadline = time.monotonic() + 20
    while asked.request_id not in {one.request_id for one in node.exchange.state.requests(world.job_id)}:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not world.requests(asked.request_id)[2]
    world.members[1].halt()
    world.members[1].start()
    assert world.closed([asked.request_id]) == Counter({(asked.request_id, RequestStatus.EXPIRED): 1})


def test_an_unknown_job_and_no_ids_are_told(world: World, tmp_path: Path) -> None:
    with world.members[0].client() as control:
        with pytest.raises(ConfigError, match="unknown to this node"):
            predict_strictly(control, "0x" + "00" * 32, ["x"])
        with pytest.raises(ConfigError, match="unknown to this node"):
            run_batch(BatchClient(control), "0x" + "00" * 32, ids_file(tmp_path, ["x"]), tmp_path / "o.csv")
        with pytest.raises(ConfigError, match="1 to 1024 ids"):
            predict_strictly(control, world.job_id, [])
    assert runner.IN_FLIGHT == 2


def test_an_audit_of_all_this_finds_nothing_that_does_not_match(world: World) -> None:
    folders = [StateFolder(member.config.state.folder) for member in world.members]
    report = audit_job(world.node(0).exchange.consortium, world.job_id, folders)
    assert report.is_consistent, report.mismatches
    assert report.phase == "completed"
