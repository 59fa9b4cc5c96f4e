"""What a party keeps of an audit of contributions, so that all of it can be checked again later. Private to the party:
it holds labels and leaf bits of the opened rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ModelFormatError

VERSION = 1


class KeptAudit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One job's audit at one party.

    Attributes:
        outcome: of the audit.
        positions: aligned positions of the opened rows, u32 little-endian each.
        own_bits: own leaf bits of these rows, packed; empty at the active party.
        opening: what the active party opened, unsealed, sound or not (`ActiveOpening`); empty where nothing came.
        earlier_rounds: of the model that the job continued; else 0.
        commitments: of the leaf weights of this job's rounds, as they came in training; None at the active party.
        covers: training rows by node of each tree of these rounds, as far as this party knows them; None likewise.
        finding: what this party found wrong, for its own people; empty where nothing was.
        shards: digests of the shards that the parties froze, roster order.
    """

    version: int = VERSION
    outcome: str
    positions: bytes = b""
    own_bits: tuple[bytes, ...] = ()
    opening: bytes = b""
    earlier_rounds: Annotated[int, msgspec.Meta(ge=0)] = 0
    commitments: tuple[bytes, ...] | None = None
    covers: tuple[dict[int, int], ...] | None = None
    finding: str = ""
    shards: tuple[bytes, ...] = ()

    @property
    def opened_positions(self) -> NDArray[np.int64]:
        """(opened rows,) int64: their aligned positions."""
        return np.frombuffer(self.positions, dtype="<u4").astype(np.int64)

    def to_bytes(self) -> bytes:
        """As a file holds it."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def load(cls, path: Path) -> KeptAudit:
        """Read the file.

        Raises:
            ModelFormatError: missing, damaged, or of another version.
        """
        try:
            kept = msgspec.msgpack.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError, ValueError) as error:
            raise ModelFormatError(f"{path}: cannot be read: {error}") from error
        if kept.version != VERSION or len(kept.positions) % 4:
            raise ModelFormatError(f"{path}: version {kept.version}, this fedchain reads {VERSION}")
        return kept
