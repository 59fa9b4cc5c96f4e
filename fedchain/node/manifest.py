"""The list at the end of a node's backup: what is in it, and the SHA-256 of each file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedchain.errors import CryptoError

NAME = "manifest.json"
MAX_BYTES = 1 << 26


class FileEntry(BaseModel):
    """One file: its size in bytes, and its SHA-256 in hex."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(BaseModel):
    """What a backup holds.

    Attributes:
        version: of the archive's layout.
        created: when, UTC, ISO 8601.
        node: the node's name.
        payloads: whether payload files are among the files.
        files: by path inside the node's folder, with forward slashes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    created: str
    node: str
    payloads: bool
    files: dict[str, FileEntry]

    @classmethod
    def read(cls, raw: bytes) -> Manifest:
        """Read it.

        Raises:
            CryptoError: malformed, or of another version.
        """
        try:
            return cls.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or NAME
            raise CryptoError(f"the archive's manifest is not one of this version ({where}: {first['msg']})") from error
