"""Messages of inference, used in evaluation too."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from fedchain.messages.base import Message
from fedchain.types import Kind

MAX_ROWS = 2**24


class PredictRequest(Message, frozen=True):
    """Ask for the rows at these aligned positions. Reveals the positions to the roster.

    Attributes:
        rows: number of positions.
        positions: `rows` little-endian uint32, strictly ascending.
    """

    kind: ClassVar[Kind] = Kind.PREDICT_REQUEST

    rows: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)]
    positions: Annotated[bytes, msgspec.Meta(max_length=4 * MAX_ROWS)]


class PredictAnswer(Message, frozen=True):
    """A party's answer, sealed to its recipient.

    From a passive to the active party: per row, packed leaf-compatibility bits of all trees, whole bytes.
    From the active party to the requester: per row, a float64 little-endian score.

    Attributes:
        rows: number of rows.
        sealed: the sealed answer.
    """

    kind: ClassVar[Kind] = Kind.PREDICT_ANSWER

    rows: Annotated[int, msgspec.Meta(ge=1, le=MAX_ROWS)]
    sealed: Annotated[bytes, msgspec.Meta(max_length=2**31)]
