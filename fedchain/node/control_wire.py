"""What crosses a node's control socket: requests, answers, and typed errors. Local to one machine and one user."""

from __future__ import annotations

import json
from typing import Annotated, Literal, TypeVar

import msgspec

from fedchain import errors
from fedchain.errors import FedchainError, MessageError

SERVICE = "fedchain.Control"
MAX_MESSAGE_BYTES = 2**30
MAX_SPEC_TOML_BYTES = 1 << 20
_MAX_ERROR_TEXT = 1500
_ATTRIBUTES = ("culprit", "sender", "reason", "expected", "found")


class ControlMessage(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of all that crosses the socket."""


class SubmitRequest(ControlMessage, frozen=True):
    """Propose a job.

    Attributes:
        spec_toml: the job file's bytes.
        where: its path, for errors.
    """

    spec_toml: Annotated[bytes, msgspec.Meta(max_length=MAX_SPEC_TOML_BYTES)]
    where: Annotated[str, msgspec.Meta(max_length=4096)]


class SubmitAnswer(ControlMessage, frozen=True):
    """The new job's id."""

    job_id: str


class AbortRequest(ControlMessage, frozen=True):
    """Abort a job.

    Attributes:
        job_id: the job.
        reason: for all to read on chain.
    """

    job_id: Annotated[str, msgspec.Meta(max_length=66)]
    reason: Annotated[str, msgspec.Meta(max_length=1024)]


class PredictCall(ControlMessage, frozen=True):
    """Ask for scores.

    Attributes:
        target: a completed job, or the name of a model, which stands for its version in use.
        positions: aligned positions, little-endian int64; None for the held-out rows.
    """

    target: Annotated[str, msgspec.Meta(max_length=66)]
    positions: Annotated[bytes, msgspec.Meta(max_length=2**27)] | None


class PredictReply(ControlMessage, frozen=True):
    """Scores.

    Attributes:
        request_id: the request's number in the inference router.
        positions: little-endian int64, in the order asked for.
        scores: little-endian float64, one per position, or one per position and class.
        job_id: the job that was asked.
        model: as what it is registered: name, version, and the version in use; None if it is not.
    """

    request_id: int
    positions: bytes
    scores: bytes
    job_id: str
    model: tuple[str, int, int] | None


class PredictIdsCall(ControlMessage, frozen=True):
    """Ask for scores by id.

    Attributes:
        target: as of `PredictCall`.
        ids: one text each, or the texts of an id's parts.
        explain: whether to give each party's contribution.
    """

    target: Annotated[str, msgspec.Meta(max_length=66)]
    ids: tuple[str | tuple[str, ...], ...]
    explain: bool = False


class PredictIdsReply(ControlMessage, frozen=True):
    """Scores by id.

    Attributes:
        job_id, model: as of `PredictReply`.
        parties: names, roster order.
        serials: little-endian int64, one per id.
        scores: little-endian float64, one per id, or one per id and class.
        flags: a byte per id.
        base: little-endian float64 per output, empty where nothing is explained.
        contributions: little-endian float64 per id, party and output; empty as above.
    """

    job_id: str
    model: tuple[str, int, int] | None
    parties: tuple[str, ...]
    serials: bytes
    scores: bytes
    flags: bytes
    base: bytes = b""
    contributions: bytes = b""


class ModelRequest(ControlMessage, frozen=True):
    """Do something in the model registry.

    Attributes:
        action: what.
        name: of the model.
        version: of it; 0 where the action has none.
        job_id: to be proposed; empty otherwise.
    """

    action: Literal["propose", "approve", "activate", "rollback"]
    name: Annotated[str, msgspec.Meta(max_length=256)]
    version: Annotated[int, msgspec.Meta(ge=0, lt=2**32)] = 0
    job_id: Annotated[str, msgspec.Meta(max_length=66)] = ""


class ModelAnswer(ControlMessage, frozen=True):
    """The version that it was about, as `VersionState.as_dict` in JSON."""

    version: bytes


class RotateAnswer(ControlMessage, frozen=True):
    """A certificate that was replaced.

    Attributes:
        earlier: fingerprint of the one before.
        fingerprint: of the new one.
        overlap_seconds: how long the node has both.
    """

    earlier: bytes
    fingerprint: bytes
    overlap_seconds: float


class KeyAnswer(ControlMessage, frozen=True):
    """A key that was replaced; the addresses of party, earlier key and present key."""

    party: str
    earlier: str
    signer: str
    registered: bool


class StatusRequest(ControlMessage, frozen=True):
    """Ask for status lines: a snapshot, and with `follow` every later change; of one job or of all."""

    follow: bool
    job_id: Annotated[str, msgspec.Meta(max_length=66)] | None


S = TypeVar("S", bound=ControlMessage)


def pack(message: ControlMessage) -> bytes:
    """Bytes of a control message."""
    return msgspec.msgpack.encode(message)


def unpack(raw: bytes, message_type: type[S]) -> S:
    """Parse a control message.

    Raises:
        MessageError: malformed.
    """
    try:
        return msgspec.msgpack.decode(raw, type=message_type)
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise MessageError(f"bytes are not a valid {message_type.__name__}: {error}") from error


def pack_error(error: BaseException) -> str:
    """An error as ASCII JSON: class name, one-line message, and its attributes. Unknown errors keep their type only."""
    if isinstance(error, FedchainError):
        name, message = type(error).__name__, str(error)
    else:
        name, message = "FedchainError", f"internal error of the node ({type(error).__name__}); see its log"
    attributes = {key: str(getattr(error, key))[:200] for key in _ATTRIBUTES if hasattr(error, key)}
    return json.dumps({"error": name, "message": message[:_MAX_ERROR_TEXT], "attributes": attributes})


def unpack_error(text: str | None) -> FedchainError | None:
    """The error that `pack_error` packed, as the same class; None if the text is something else."""
    try:
        packed = json.loads(text or "")
        cls, message, attributes = getattr(errors, packed["error"], None), packed["message"], packed["attributes"]
    except (ValueError, KeyError, TypeError):
        return None
    if not (isinstance(cls, type) and issubclass(cls, FedchainError)):
        return None
    error = cls.__new__(cls)
    error.args = (str(message),)
    for key in _ATTRIBUTES:
        if key in attributes:
            setattr(error, key, attributes[key])
    return error
