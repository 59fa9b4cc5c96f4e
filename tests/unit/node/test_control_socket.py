"""The control socket: private, typed errors, live progress."""

from __future__ import annotations

import itertools
import json
import socket
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain import errors
from fedchain.chain import ModelState, ModelVersion
from fedchain.errors import ConfigError, FedchainError, MessageError, UplinkRejectedError, WrongChainError
from fedchain.node.control import ControlServer
from fedchain.node.control_client import ControlClient
from fedchain.node.control_wire import PredictCall, StatusRequest, pack_error, unpack, unpack_error
from fedchain.node.key_rotation import KeyRotation
from fedchain.node.modelstate import ModelUse, VersionState
from fedchain.node.online.predictions import Id, Predictions
from fedchain.node.progress import Line, ProgressBoard
from fedchain.node.rotation import Rotation
from fedchain.types import JobId

JOB = JobId("0x" + "ab" * 32)

VERSION = VersionState(
    ModelVersion(
        name="arrears", version=2, state=ModelState.PROPOSED, job_id=JOB, proposer="0xbb", roster=("0xaa", "0xbb"),
        shard_digests=(b"\x01" * 32, b"\x02" * 32), approved=(False, True), frozen_block=0, activated_block=0,
    ),
    names=("operator", "bank"),
    proposer="bank",
)  # fmt: skip


class Puppet:
    """A node that does what the test says."""

    def __init__(self) -> None:
        self.board = ProgressBoard()
        self.error: Exception | None = None
        self.stopped = threading.Event()
        self.aborted: list[tuple[JobId, str]] = []
        self.changed: list[tuple[object, ...]] = []
        self.use: ModelUse | None = None
        self.asked: list[Id] = []

    def submit(self, spec_toml: str, where: str) -> JobId:
        if self.error is not None:
            raise self.error
        return JobId(f"{where}:{spec_toml}")

    def abort(self, job_id: JobId, reason: str) -> None:
        if self.error is not None:
            raise self.error
        self.aborted.append((job_id, reason))

    def predict(
        self, job_id: JobId, positions: NDArray[np.int64] | None
    ) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
        asked = np.arange(3) if positions is None else positions
        return 2**31 + 5, asked, asked / 10

    def predict_ids(self, target: str, ids: Sequence[Id], *, explain: bool = False) -> Predictions:
        if self.error is not None:
            raise self.error
        self.asked = list(ids)
        size = len(ids)
        contributions = np.arange(2.0 * size).reshape(size, 2, 1) if explain else None
        return Predictions(
            self.resolve(target),
            self.use,
            np.arange(size) - 1,
            np.linspace(0, 1, size),
            np.arange(size, dtype=np.uint8),
            ("operator", "bank"),
            np.zeros(1) if explain else None,
            contributions,
        )

    def status(self, *, follow: bool, job_id: str | None) -> Iterator[Line | None]:
        return self.board.watch(follow=follow, job_id=job_id, poll_seconds=0.05)

    def resolve(self, target: str) -> JobId:
        return JOB if target == "arrears" else JobId(target)

    def model_use(self, job_id: JobId) -> ModelUse | None:
        return self.use

    def propose_model(self, name: str, job_id: JobId) -> VersionState:
        return self._changed("propose", name, job_id)

    def approve_model(self, name: str, version: int) -> VersionState:
        return self._changed("approve", name, version)

    def activate_model(self, name: str, version: int) -> VersionState:
        return self._changed("activate", name, version)

    def roll_back_model(self, name: str) -> VersionState:
        return self._changed("rollback", name)

    def _changed(self, *what: object) -> VersionState:
        if self.error is not None:
            raise self.error
        self.changed.append(what)
        return VERSION

    def rotate_certificate(self) -> Rotation:
        if self.error is not None:
            raise self.error
        return Rotation(b"\x01" * 32, b"\x02" * 32, True, 60.0)

    def rotate_key(self) -> KeyRotation:
        if self.error is not None:
            raise self.error
        return KeyRotation("0xparty", "0xearlier", "0xsigner", True)

    def shut_down(self) -> None:
        self.stopped.set()


@pytest.fixture
def puppet() -> Puppet:
    return Puppet()


@pytest.fixture
def client(puppet: Puppet, tmp_path: Path) -> Iterator[ControlClient]:
    server = ControlServer(puppet, tmp_path / "n.sock")
    with ControlClient(tmp_path / "n.sock") as one:
        yield one
    puppet.board.close()
    server.close()


def test_only_the_owner_may_open_the_socket(client: ControlClient, tmp_path: Path) -> None:
    assert stat.S_IMODE((tmp_path / "n.sock").stat().st_mode) == 0o600


def test_a_submitted_job_file_reaches_the_node(client: ControlClient) -> None:
    assert client.submit("schlüssel".encode(), "job.toml") == "job.toml:schlüssel"


def test_a_rotation_comes_back_with_both_fingerprints_or_with_the_nodes_own_error(
    client: ControlClient, puppet: Puppet
) -> None:
    assert client.rotate_certificate() == Rotation(b"\x01" * 32, b"\x02" * 32, True, 60.0)
    assert client.rotate_key() == KeyRotation("0xparty", "0xearlier", "0xsigner", True)
    puppet.error = ConfigError("a rotation is under way")
    with pytest.raises(ConfigError, match="under way"):
        client.rotate_certificate()


def test_a_node_that_does_not_know_a_call_is_of_another_version(client: ControlClient) -> None:
    with pytest.raises(ConfigError, match="of another version than this command; restart it"):
        client._call("Somersault", b"")


@pytest.mark.parametrize("explain", [False, True])
def test_scores_by_id_come_back_as_the_node_gave_them(client: ControlClient, puppet: Puppet, explain: bool) -> None:
    found = client.predict_ids("arrears", ["0041", ("49170", "Müller")], explain=explain)
    given = puppet.predict_ids("arrears", ["0041", ("49170", "Müller")], explain=explain)
    assert puppet.asked == ["0041", ("49170", "Müller")]
    assert (found.job_id, found.model, found.parties) == (JOB, None, ("operator", "bank"))
    for name in ("serials", "scores", "flags", "base", "contributions"):
        np.testing.assert_array_equal(getattr(found, name), getattr(given, name))
    puppet.error = errors.QuotaExceededError(JOB, left=0, window_ends=7)
    with pytest.raises(errors.QuotaExceededError, match="leaves 0 rows until 1970-01-01 00:00:07"):
        client.predict_ids("arrears", ["0041"])


def test_a_job_file_that_is_no_text_is_a_config_error(client: ControlClient) -> None:
    with pytest.raises(ConfigError, match=r"job\.toml"):
        client.submit(b"\xff\xfe", "job.toml")


def test_scores_come_back_in_the_order_asked_for(client: ControlClient) -> None:
    answer = client.predict(JOB, [7, 2, 7])
    assert answer.request_id == 2**31 + 5
    np.testing.assert_array_equal(answer.positions, [7, 2, 7])
    np.testing.assert_array_equal(answer.scores, [0.7, 0.2, 0.7])
    np.testing.assert_array_equal(client.predict(JOB, "holdout").positions, [0, 1, 2])


def test_an_answer_names_the_job_and_as_what_it_is_registered(client: ControlClient, puppet: Puppet) -> None:
    assert (client.predict(JOB, [1]).job_id, client.predict(JOB, [1]).model) == (JOB, None)
    puppet.use = ModelUse("arrears", 1, 2)
    answer = client.predict("arrears", [1])
    assert (answer.job_id, answer.model) == (JOB, ModelUse("arrears", 1, 2))


def test_models_are_changed_and_come_back_as_they_stand(client: ControlClient, puppet: Puppet) -> None:
    expected = VERSION.as_dict()
    assert [party["approved"] for party in expected["parties"]] == [False, True]
    assert client.propose_model("arrears", JOB) == expected
    assert client.approve_model("arrears", 2) == expected
    assert client.activate_model("arrears", 2) == expected
    assert client.roll_back_model("arrears") == expected
    assert puppet.changed == [
        ("propose", "arrears", JOB), ("approve", "arrears", 2), ("activate", "arrears", 2), ("rollback", "arrears"),
    ]  # fmt: skip
    puppet.error = errors.DigestMismatchError("shard x: its digest is another")
    with pytest.raises(errors.DigestMismatchError, match="shard x"):
        client.approve_model("arrears", 2)


def test_a_job_is_aborted_with_its_reason(puppet: Puppet, client: ControlClient) -> None:
    client.abort(JOB, "wrong table")
    assert puppet.aborted == [(JOB, "wrong table")]
    puppet.error = errors.TransactionError("abort", "JobEnded(…)")
    with pytest.raises(errors.TransactionError):
        client.abort(JOB, "too late")


def test_an_error_of_the_node_is_raised_as_the_same_class_with_its_attributes(
    puppet: Puppet, client: ControlClient
) -> None:
    puppet.error = UplinkRejectedError("beta", "histogram, round 1", "SLOT_TAKEN")
    with pytest.raises(UplinkRejectedError) as caught:
        client.submit(b"")
    assert str(caught.value) == str(puppet.error)
    assert (caught.value.sender, caught.value.reason) == ("beta", "SLOT_TAKEN")


def test_an_unexpected_error_keeps_its_details_at_the_node(puppet: Puppet, client: ControlClient) -> None:
    puppet.error = RuntimeError("secret detail")
    with pytest.raises(FedchainError, match="RuntimeError") as caught:
        client.submit(b"")
    assert "secret" not in str(caught.value)


def test_progress_is_seen_as_it_happens(puppet: Puppet, client: ControlClient) -> None:
    puppet.board.post("job", job=JOB, status="running")
    lines = client.status(follow=True)
    assert next(lines)["status"] == "running"
    puppet.board.post("stage", job=JOB, stage="train", done=1, total=30)
    assert next(lines)["done"] == 1
    puppet.board.post("stage", job=JOB, stage="train", done=2, total=30)
    assert next(lines)["done"] == 2
    puppet.board.close()
    assert list(lines) == []


def test_a_snapshot_holds_the_newest_line_of_each_subject_and_ends(puppet: Puppet, client: ControlClient) -> None:
    for done in range(3):
        puppet.board.post("stage", job=JOB, stage="train", done=done)
    puppet.board.post("stage", job="0xother", stage="train", done=9)
    assert [line["done"] for line in client.status()] == [2, 9]
    assert [line["done"] for line in client.status(job_id=JOB)] == [2]


def test_a_watcher_that_does_not_keep_up_never_misses_the_newest_line(puppet: Puppet) -> None:
    lines = puppet.board.watch(follow=True, poll_seconds=0.01)
    assert next(lines) is None
    for done in range(10_000):
        puppet.board.post("stage", job=JOB, stage="train", done=done)
    got = [line["done"] for line in itertools.takewhile(lambda line: line is not None, lines) if line is not None]
    assert got[-1] == 9_999
    assert got == sorted(got)


def test_shutting_down_reaches_the_node(puppet: Puppet, client: ControlClient) -> None:
    client.shut_down()
    assert puppet.stopped.is_set()


def test_where_no_node_runs_the_remedy_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fedchain node run"):
        ControlClient(tmp_path / "none.sock")


def test_a_socket_left_by_a_killed_node_is_replaced(puppet: Puppet, tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "n.sock"))
    left.close()
    with pytest.raises(ConfigError):
        ControlClient(tmp_path / "n.sock", connect_seconds=0.2)
    server = ControlServer(puppet, tmp_path / "n.sock")
    with ControlClient(tmp_path / "n.sock") as client:
        assert client.submit(b"x", "y") == "y:x"
    server.close()
    assert not (tmp_path / "n.sock").exists()


def test_a_file_in_the_sockets_place_is_not_removed(puppet: Puppet, tmp_path: Path) -> None:
    (tmp_path / "n.sock").write_text("precious")
    with pytest.raises(ConfigError):
        ControlServer(puppet, tmp_path / "n.sock")
    assert (tmp_path / "n.sock").read_text() == "precious"


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("a"),
        WrongChainError("chain id", 1, 2),
        errors.PayloadUnavailableError("beta", "gone"),
        errors.TransactionError("propose", "WrongPhase(1, 2)"),
    ],
)
def test_every_class_of_error_survives_the_socket(error: FedchainError) -> None:
    again = unpack_error(pack_error(error))
    assert type(again) is type(error)
    assert str(again) == str(error)


@given(text=st.text(max_size=200))
def test_text_that_is_no_packed_error_is_not_taken_for_one(text: str) -> None:
    assert unpack_error(text) is None


@pytest.mark.parametrize("name", ["Exception", "annotations", "__builtins__", "SystemExit"])
def test_only_errors_of_fedchain_are_rebuilt(name: str) -> None:
    assert unpack_error(json.dumps({"error": name, "message": "m", "attributes": {}})) is None


@given(raw=st.binary(max_size=100))
def test_arbitrary_bytes_are_a_message_error_or_a_message(raw: bytes) -> None:
    for message_type in (PredictCall, StatusRequest):
        try:
            assert isinstance(unpack(raw, message_type), message_type)
        except MessageError:
            continue
