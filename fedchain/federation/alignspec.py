"""`[alignment]` of the job file: how the parties find their common customers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from fedchain.data.idrules import DEFAULT_RULES, MAX_PARTS, IdRules
from fedchain.data.selection import DuplicatePolicy
from fedchain.federation.idspec import IdPartSpec
from fedchain.messages.alignment import MAX_IDS


class Alignment(BaseModel):
    """`[alignment]`: private set intersection by ECDH over secp256k1.

    Attributes:
        protocol: how.
        min_rows: with fewer common ids the job stops.
        duplicates: what becomes of a party's rows that repeat an id (`fedchain.data.duplicates`).
        parts: what an id consists of, in this order; empty: one column, trimmed, whole numbers without zeros.
        pad_to: hide the exact size of each set: show the next multiple of this number, or the next power of two.
        proven_blinding: every party proves that it blinded all of the others' ids with one secret.
        cached: of two parties the one whose much larger set is blinded once for the jobs of some days
            (`fedchain.alignment.cached`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    protocol: Literal["ecdh"] = "ecdh"
    min_rows: Annotated[int, Field(strict=True, ge=2)] = 100
    duplicates: DuplicatePolicy = "error"
    parts: Annotated[tuple[IdPartSpec, ...], Field(max_length=MAX_PARTS)] = ()
    pad_to: Annotated[int, Field(strict=True, ge=2, le=MAX_IDS)] | Literal["power_of_two"] | None = None
    proven_blinding: Annotated[bool, Field(strict=True)] = False
    cached: str | None = None

    @field_validator("parts")
    @classmethod
    def _parts_are_distinct(cls, parts: tuple[IdPartSpec, ...]) -> tuple[IdPartSpec, ...]:
        names = [part.name for part in parts]
        if len(set(names)) != len(names):
            raise ValueError("two parts have the same name")
        return parts

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A job without a cached set has the bytes that it had before there were any."""
        dumped: dict[str, Any] = handler(self)
        if self.cached is None:
            dumped.pop("cached", None)
        return dumped

    @property
    def rules(self) -> IdRules:
        """How ids are spelled."""
        return IdRules(tuple(part.part for part in self.parts)) if self.parts else DEFAULT_RULES
