"""What strict requests give to whoever made them, and how it crosses the control socket."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedchain.node.control_client import ControlClient
from fedchain.node.control_wire import ControlMessage, pack, unpack
from fedchain.node.modelstate import ModelUse
from fedchain.node.online.predictions import FLAG_NAMES, Id
from fedchain.types import JobId

METHOD = "PredictStrict"
NOT_ASKED = -1


@dataclass(frozen=True)
class StrictPredictions:
    """Scores of ids, in the order asked for.

    Attributes:
        job_id: the job that was asked.
        requests: (ids,) int64: the router's number of each one's request, `NOT_ASKED` for an id that this party does
            not know.
        scores: (ids,) float64, or (ids, classes) with several classes; not-a-number for unknown ids.
        flags: (ids,) uint8 of `fedchain.inference.asking.Flag`.
        model: as what it is registered, None if it is not.
    """

    job_id: JobId
    requests: NDArray[np.int64]
    scores: NDArray[np.float64]
    flags: NDArray[np.uint8]
    model: ModelUse | None = None

    def flag_names(self, place: int) -> list[str]:
        """What is to be said of one score."""
        return [name for name, bit in FLAG_NAMES if self.flags[place] & bit]


class StrictCall(ControlMessage, frozen=True):
    """Ask strictly.

    Attributes:
        target: a completed job, or the name of a model.
        ids: one text each, or the texts of an id's parts.
    """

    target: Annotated[str, msgspec.Meta(max_length=66)]
    ids: tuple[str | tuple[str, ...], ...]


class StrictReply(ControlMessage, frozen=True):
    """Scores.

    Attributes:
        job_id: the job that was asked.
        model: as what it is registered: name, version, and the version in use; None if it is not.
        requests: little-endian int64, one per id.
        scores: little-endian float64, one per id, or one per id and class.
        flags: a byte per id.
    """

    job_id: str
    model: tuple[str, int, int] | None
    requests: bytes
    scores: bytes
    flags: bytes


def strict_method(
    predict: Callable[[JobId, Sequence[Id]], StrictPredictions],
    resolve: Callable[[str], JobId],
    model_use: Callable[[JobId], ModelUse | None],
) -> Callable[[bytes], bytes]:
    """The method `METHOD` of the control socket."""

    def strict(raw: bytes) -> bytes:
        call = unpack(raw, StrictCall)
        found = predict(resolve(call.target), call.ids)
        use = model_use(found.job_id)
        return pack(
            StrictReply(
                found.job_id,
                None if use is None else (use.name, use.version, use.in_use),
                found.requests.astype("<i8").tobytes(),
                found.scores.astype("<f8").tobytes(),
                found.flags.tobytes(),
            )
        )

    return strict


def predict_strictly(control: ControlClient, target: str, ids: Sequence[Id]) -> StrictPredictions:
    """Ask the node behind a control connection to ask strictly; raises as `Strict.predict`."""
    asked = tuple(one if isinstance(one, str) else tuple(one) for one in ids)
    reply = unpack(control.call(METHOD, pack(StrictCall(target, asked)), None), StrictReply)
    flags = np.frombuffer(reply.flags, np.uint8)
    scores = np.frombuffer(reply.scores, "<f8").astype(np.float64)
    found = StrictPredictions(
        JobId(reply.job_id),
        np.frombuffer(reply.requests, "<i8").astype(np.int64),
        scores if len(scores) == len(flags) else scores.reshape(len(flags), -1),
        flags,
    )
    return found if reply.model is None else replace(found, model=ModelUse(*reply.model))
