"""Talks to a running node over its control socket: what the command line uses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import grpc
import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ConfigError, FedchainError
from fedchain.node.config import checked_socket_path
from fedchain.node.control_wire import (
    MAX_MESSAGE_BYTES,
    SERVICE,
    AbortRequest,
    KeyAnswer,
    ModelAnswer,
    ModelRequest,
    PredictCall,
    PredictIdsCall,
    PredictIdsReply,
    PredictReply,
    RotateAnswer,
    StatusRequest,
    SubmitAnswer,
    SubmitRequest,
    pack,
    unpack,
    unpack_error,
)
from fedchain.node.key_rotation import KeyRotation
from fedchain.node.modelstate import ModelUse
from fedchain.node.online.predictions import Id, Predictions, from_reply
from fedchain.node.rotation import Rotation
from fedchain.types import JobId

_CALL_SECONDS = 600.0
"""More than a node's transactions take. How long a prediction takes the node says: its job has deadlines."""


@dataclass(frozen=True)
class Prediction:
    """Scores of one inference request.

    Attributes:
        request_id: its number in the inference router.
        positions: int64 aligned positions, in the order asked for.
        scores: float64, shape (positions,), or (positions, classes) with several classes: what `predictions` gives.
        job_id: the job that was asked.
        model: as what it is registered, None if it is not.
    """

    request_id: int
    positions: NDArray[np.int64]
    scores: NDArray[np.float64]
    job_id: JobId
    model: ModelUse | None


class ControlClient:
    """A connection to the node behind a socket. Errors of the node are raised as the class they have there.

    Args:
        path: the socket.
        connect_seconds: how long to wait for the node to answer.

    Raises:
        ConfigError: no node answers there.
    """

    def __init__(self, path: Path, *, connect_seconds: float = 2.0) -> None:
        self._path = checked_socket_path(path.absolute())
        if not self._path.is_socket():
            raise ConfigError(f"no node answers at {path}; start it with `fedchain node run`")
        options = [
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ]
        self._channel = grpc.insecure_channel(f"unix:{self._path}", options=options)
        try:
            grpc.channel_ready_future(self._channel).result(timeout=connect_seconds)
        except grpc.FutureTimeoutError:
            self._channel.close()
            raise ConfigError(f"no node answers at {path}; start it with `fedchain node run`") from None

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def submit(self, spec_toml: bytes, where: str = "job file") -> JobId:
        """Propose a job; the node accepts it at once, the other parties by their own policy.

        Args:
            spec_toml: the job file's bytes.
            where: its path, for errors.
        """
        raw = self._call("Submit", pack(SubmitRequest(spec_toml, where)))
        return JobId(unpack(raw, SubmitAnswer).job_id)

    def abort(self, job_id: JobId, reason: str) -> None:
        """Abort a job; the reason becomes public on the chain."""
        self._call("Abort", pack(AbortRequest(job_id, reason)))

    def predict(self, target: str, positions: Sequence[int] | NDArray[np.int64] | Literal["holdout"]) -> Prediction:
        """Ask for scores of aligned positions (their order and repetitions are kept), or of the held-out rows.

        Reveals the positions to the job's roster.

        Args:
            target: a completed job's id, or the name of a model, which stands for the job of its version in use.
            positions: of that job's aligned rows.
        """
        asked = None
        if not isinstance(positions, str):
            asked = np.asarray(positions, dtype=np.int64).astype("<i8").tobytes()
        reply = unpack(self._call("Predict", pack(PredictCall(target, asked)), None), PredictReply)
        found = np.frombuffer(reply.positions, dtype="<i8").astype(np.int64)
        scores = np.frombuffer(reply.scores, dtype="<f8").astype(np.float64)
        if len(scores) != len(found):
            scores = scores.reshape(len(found), -1)
        model = None if reply.model is None else ModelUse(*reply.model)
        return Prediction(reply.request_id, found, scores, JobId(reply.job_id), model)

    def predict_ids(self, target: str, ids: Sequence[Id], *, explain: bool = False) -> Predictions:
        """Ask for scores by id; see `Asker.predict_ids`.

        Args:
            target: a completed job's id, or the name of a model, which stands for the job of its version in use.
            ids: as this party writes them: one text each, or the texts of an id's parts.
            explain: whether to give each party's contribution to each score.
        """
        asked = tuple(one if isinstance(one, str) else tuple(one) for one in ids)
        raw = self._call("PredictIds", pack(PredictIdsCall(target, asked, explain)), None)
        return from_reply(unpack(raw, PredictIdsReply))

    def propose_model(self, name: str, job_id: JobId) -> dict[str, Any]:
        """Propose a finished job's model as a version of a name, and approve it; see `ModelDesk.propose`.

        Returns:
            The version as `VersionState.as_dict` gives it; so do the three below.
        """
        return self._model(ModelRequest("propose", name, job_id=job_id))

    def approve_model(self, name: str, version: int) -> dict[str, Any]:
        """Approve a version; see `ModelDesk.approve`."""
        return self._model(ModelRequest("approve", name, version))

    def activate_model(self, name: str, version: int) -> dict[str, Any]:
        """Put a version into use; see `ModelDesk.activate`."""
        return self._model(ModelRequest("activate", name, version))

    def roll_back_model(self, name: str) -> dict[str, Any]:
        """Put the version before into use again; see `ModelDesk.roll_back`."""
        return self._model(ModelRequest("rollback", name))

    def _model(self, request: ModelRequest) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(unpack(self._call("Model", pack(request)), ModelAnswer).version)
        return found

    def status(self, *, follow: bool = False, job_id: JobId | None = None) -> Iterator[dict[str, Any]]:
        """Status lines, see `fedchain.node.progress`: a snapshot, and with `follow` every later change."""
        call = self._channel.unary_stream(f"/{SERVICE}/Status")(pack(StatusRequest(follow, job_id)))
        try:
            for raw in call:
                yield json.loads(raw)
        except grpc.RpcError as error:
            raise self._translated(error) from None
        finally:
            call.cancel()

    def rotate_certificate(self) -> Rotation:
        """Replace the node's certificate, without a restart; see `Rotator.rotate`."""
        done = unpack(self._call("RotateCertificate", b""), RotateAnswer)
        return Rotation(done.earlier, done.fingerprint, True, done.overlap_seconds)

    def rotate_key(self) -> KeyRotation:
        """Replace the key that acts for the node's party, without a restart; see `KeyRotator.rotate`."""
        done = unpack(self._call("RotateKey", b""), KeyAnswer)
        return KeyRotation(done.party, done.earlier, done.signer, done.registered)

    def shut_down(self) -> None:
        """Stop the node."""
        self._call("Shutdown", b"")

    def call(self, method: str, raw: bytes, seconds: float | None = _CALL_SECONDS) -> bytes:
        """Call a method by its name; what bytes it takes and gives is said where the method is.

        Args:
            seconds: how long to wait; None: the node knows how long it takes.
        """
        return self._call(method, raw, seconds)

    def _call(self, method: str, raw: bytes, seconds: float | None = _CALL_SECONDS) -> bytes:
        stub: Callable[..., bytes] = self._channel.unary_unary(f"/{SERVICE}/{method}")
        try:
            return stub(raw, timeout=seconds)
        except grpc.RpcError as error:
            raise self._translated(error) from None

    def _translated(self, error: grpc.RpcError) -> FedchainError:
        if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
            known = unpack_error(error.details())
            return known or FedchainError(f"the node at {self._path} refused: {error.details()}")
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            return ConfigError(f"the node at {self._path} is of another version than this command; restart it")
        return ConfigError(f"the node at {self._path} does not answer any more: {error.code().name}")
