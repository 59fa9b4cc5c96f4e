"""A node's control server: gRPC over a unix socket that only the node's own user may open."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import grpc
import numpy as np
import structlog
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
    PredictReply,
    RotateAnswer,
    StatusRequest,
    SubmitAnswer,
    SubmitRequest,
    pack,
    pack_error,
    unpack,
)
from fedchain.node.key_rotation import KeyRotation
from fedchain.node.modelstate import ModelUse, VersionState
from fedchain.node.online.predictions import Id, Predictions, to_reply
from fedchain.node.progress import Line, to_json
from fedchain.node.rotation import Rotation
from fedchain.types import JobId

log = structlog.get_logger(__name__)

_CALLS = 96
"""At a time: requests by id wait in their callers' threads, and go to the peers together."""


class Controlled(Protocol):
    """What a node lets its user do."""

    def submit(self, spec_toml: str, where: str) -> JobId:
        """Propose a job."""

    def abort(self, job_id: JobId, reason: str) -> None:
        """Abort a job."""

    def predict(
        self, job_id: JobId, positions: NDArray[np.int64] | None
    ) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
        """Request id, positions and scores; None asks for the held-out rows."""

    def predict_ids(self, target: str, ids: Sequence[Id], *, explain: bool = False) -> Predictions:
        """Scores by id."""

    def resolve(self, target: str) -> JobId:
        """The job that a job id, or a model's name, stands for."""

    def model_use(self, job_id: JobId) -> ModelUse | None:
        """As what a job's model is registered."""

    def propose_model(self, name: str, job_id: JobId) -> VersionState:
        """Propose a finished job's model, and approve it."""

    def approve_model(self, name: str, version: int) -> VersionState:
        """Approve a version."""

    def activate_model(self, name: str, version: int) -> VersionState:
        """Put a version into use."""

    def roll_back_model(self, name: str) -> VersionState:
        """Put the version before into use again."""

    def rotate_certificate(self) -> Rotation:
        """Replace the node's certificate."""

    def rotate_key(self) -> KeyRotation:
        """Replace the key that acts for the node's party."""

    def status(self, *, follow: bool, job_id: str | None) -> Iterator[Line | None]:
        """Status lines; None while nothing happens."""

    def shut_down(self) -> None:
        """Stop the node."""


class ControlServer:
    """Listens on a unix socket (mode 0600) from construction to `close`.

    Args:
        node: does what is asked for.
        path: the socket.
        further: more methods by name, of bytes to bytes.

    Raises:
        ConfigError: the path is too long or cannot be listened on.
    """

    def __init__(
        self, node: Controlled, path: Path, further: Mapping[str, Callable[[bytes], bytes]] = MappingProxyType({})
    ) -> None:
        self._node = node
        self._path = checked_socket_path(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.exists() and not path.is_socket():
            raise ConfigError(f"[serve] control_socket {path}: exists and is no socket; choose another path")
        path.unlink(missing_ok=True)  # left by a killed node: this one holds the state folder's lock
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=_CALLS, thread_name_prefix="control"),
            options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES)],
            maximum_concurrent_rpcs=_CALLS,
        )
        handlers = {
            "Submit": grpc.unary_unary_rpc_method_handler(self._guarded(self._submit)),
            "Abort": grpc.unary_unary_rpc_method_handler(self._guarded(self._abort)),
            "Predict": grpc.unary_unary_rpc_method_handler(self._guarded(self._predict)),
            "PredictIds": grpc.unary_unary_rpc_method_handler(self._guarded(self._predict_ids)),
            "Model": grpc.unary_unary_rpc_method_handler(self._guarded(self._model)),
            "RotateCertificate": grpc.unary_unary_rpc_method_handler(self._guarded(self._rotate_certificate)),
            "RotateKey": grpc.unary_unary_rpc_method_handler(self._guarded(self._rotate_key)),
            "Shutdown": grpc.unary_unary_rpc_method_handler(self._guarded(self._shutdown)),
            "Status": grpc.unary_stream_rpc_method_handler(self._status),
        }
        for name, method in further.items():
            handlers[name] = grpc.unary_unary_rpc_method_handler(self._guarded(method))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        earlier = os.umask(0o177)
        try:
            bound = self._server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise ConfigError(f"[serve] control_socket {path}: cannot listen there ({error})") from error
        finally:
            os.umask(earlier)
        if not bound:
            raise ConfigError(f"[serve] control_socket {path}: cannot listen there; choose another path")
        path.chmod(0o600)
        self._server.start()

    def close(self) -> None:
        """Stop listening and remove the socket; calls under way get a second to end."""
        self._server.stop(grace=1.0).wait(2.0)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    @staticmethod
    def _guarded(method: Callable[[bytes], bytes]) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def call(raw: bytes, context: grpc.ServicerContext) -> bytes:
            try:
                return method(raw)
            except Exception as error:
                if not isinstance(error, FedchainError):
                    log.exception("control call failed", method=getattr(method, "__name__", "?"))
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, pack_error(error))
                raise AssertionError("unreachable: abort raises") from error

        return call

    def _submit(self, raw: bytes) -> bytes:
        request = unpack(raw, SubmitRequest)
        try:
            text = request.spec_toml.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"{request.where}: not UTF-8 text") from error
        return pack(SubmitAnswer(self._node.submit(text, request.where)))

    def _abort(self, raw: bytes) -> bytes:
        request = unpack(raw, AbortRequest)
        self._node.abort(JobId(request.job_id), request.reason)
        return b""

    def _predict(self, raw: bytes) -> bytes:
        call = unpack(raw, PredictCall)
        positions = None
        if call.positions is not None:
            if len(call.positions) % 8:
                raise ConfigError("positions are not whole 64-bit numbers")
            positions = np.frombuffer(call.positions, dtype="<i8").astype(np.int64)
        job_id = self._node.resolve(call.target)
        use = self._node.model_use(job_id)
        request_id, asked, scores = self._node.predict(job_id, positions)
        model = None if use is None else (use.name, use.version, use.in_use)
        return pack(
            PredictReply(request_id, asked.astype("<i8").tobytes(), scores.astype("<f8").tobytes(), job_id, model)
        )

    def _predict_ids(self, raw: bytes) -> bytes:
        call = unpack(raw, PredictIdsCall)
        return pack(to_reply(self._node.predict_ids(call.target, call.ids, explain=call.explain)))

    def _model(self, raw: bytes) -> bytes:
        request = unpack(raw, ModelRequest)
        if request.action == "propose":
            done = self._node.propose_model(request.name, JobId(request.job_id))
        elif request.action == "approve":
            done = self._node.approve_model(request.name, request.version)
        elif request.action == "activate":
            done = self._node.activate_model(request.name, request.version)
        else:
            done = self._node.roll_back_model(request.name)
        return pack(ModelAnswer(json.dumps(done.as_dict()).encode()))

    def _rotate_certificate(self, raw: bytes) -> bytes:
        done = self._node.rotate_certificate()
        return pack(RotateAnswer(done.earlier, done.fingerprint, done.overlap_seconds))

    def _rotate_key(self, raw: bytes) -> bytes:
        done = self._node.rotate_key()
        return pack(KeyAnswer(done.party, done.earlier, done.signer, done.registered))

    def _shutdown(self, raw: bytes) -> bytes:
        self._node.shut_down()
        return b""

    def _status(self, raw: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        try:
            request = unpack(raw, StatusRequest)
            for line in self._node.status(follow=request.follow, job_id=request.job_id):
                if not context.is_active():
                    return
                if line is not None:
                    yield to_json(line)
        except FedchainError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, pack_error(error))
