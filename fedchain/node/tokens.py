"""Tokens of a node's HTTP API: who may log in, as what, until when. Only hashes are kept.

A token is `fedchain_<id>_<secret>`: 6 random bytes in hex, by which it is found, and 32 random bytes in base64url. The
file holds SHA-256 over a random salt and the secret: with 256 random bits there is nothing that a slow hash would have
to protect. The file is read again whenever it has changed, so that a revoked token is none from the next request on.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedchain.errors import ConfigError

FILE = "api-tokens.json"
MAX_TOKENS = 1000
MAX_DAYS = 3650.0
DEFAULT_DAYS = 90.0

_MAX_FILE_BYTES = 1 << 20
_TOKEN = re.compile(r"fedchain_([0-9a-f]{12})_([A-Za-z0-9_-]{43})\Z")
_NOBODY = bytes(32)
_Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ApiRole(str, Enum):
    """What a token's holder may do; docs/reference/api.md says which requests.

    `ADMIN` looks after the node, `DATA_OWNER` after its table, `ANALYST` runs jobs and asks for scores, `VIEWER` reads.
    """

    ADMIN = "admin"
    DATA_OWNER = "data-owner"
    ANALYST = "analyst"
    VIEWER = "viewer"


class Token(BaseModel):
    """What is kept of a token.

    Attributes:
        id: 12 hex digits.
        name: whose it is, or what for.
        role: what it allows.
        created, expires: seconds since 1970.
        salt, hash: 32 bytes each, hex.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
    name: Annotated[str, Field(max_length=100)]
    role: ApiRole
    created: float
    expires: float
    salt: _Hex
    hash: _Hex

    def is_valid(self, now: float | None = None) -> bool:
        """Whether it has not expired."""
        return (time.time() if now is None else now) < self.expires


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    tokens: Annotated[list[Token], Field(max_length=MAX_TOKENS)] = Field(default_factory=list)


class TokenFile:
    """The tokens of one node: `FILE` in its state folder, mode 0600. Safe to use from several threads and processes.

    Args:
        state_folder: the node's.
    """

    def __init__(self, state_folder: Path) -> None:
        self.path = state_folder / FILE
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}

    def create(self, role: ApiRole, name: str = "", *, days: float = DEFAULT_DAYS) -> tuple[Token, str]:
        """Make a token.

        Args:
            role: what it allows.
            name: whose it is, or what for; up to 100 printable characters.
            days: until it expires, above 0 to `MAX_DAYS`.

        Returns:
            What is kept of it, and the token itself, which nobody can tell again.

        Raises:
            ConfigError: a bad name or number of days, or the file cannot be written or is not of this version.
        """
        if not 0 < days <= MAX_DAYS:
            raise ConfigError(f"a token lasts above 0 to {MAX_DAYS:g} days, not {days:g}")
        if len(name) > 100 or not name.isprintable():
            raise ConfigError("a token's name has up to 100 printable characters")
        secret, salt, now = secrets.token_urlsafe(32), secrets.token_bytes(32), time.time()
        with self._changing() as tokens:
            expired = [one for one in tokens.values() if not one.is_valid(now)]
            for one in expired:
                del tokens[one.id]
            if len(tokens) >= MAX_TOKENS:
                raise ConfigError(f"{self.path}: has {MAX_TOKENS} tokens already; revoke some")
            while (token_id := secrets.token_hex(6)) in tokens:
                continue
            token = Token(
                id=token_id,
                name=name,
                role=role,
                created=now,
                expires=now + days * 86_400,
                salt=salt.hex(),
                hash=_hash(salt, secret).hex(),
            )
            tokens[token_id] = token
        return token, f"fedchain_{token_id}_{secret}"

    def revoke(self, token_id: str) -> Token:
        """Delete a token; it is none from the next request on.

        Raises:
            ConfigError: there is none of that id.
        """
        with self._changing() as tokens:
            if token_id not in tokens:
                raise ConfigError(f"no token {token_id[:64]}; `fedchain node token list` shows those that there are")
            return tokens.pop(token_id)

    def all(self) -> list[Token]:
        """All that are kept, oldest first; those that have expired are among them until another one is made.

        Raises:
            ConfigError: the file cannot be read, or others may read it.
        """
        with self._lock:
            self._read_if_changed()
            return sorted(self._tokens.values(), key=lambda one: (one.created, one.id))

    def known_id(self, text: str) -> str:
        """The id in what somebody presents as a token, if there is a token of that id; else empty."""
        match = _TOKEN.match(text)
        with self._lock:
            self._read_if_changed()
            return match[1] if match is not None and match[1] in self._tokens else ""

    def check(self, text: str) -> Token | None:
        """The token that somebody presents; None if it is none, or has expired. As quick for one id as for another.

        Raises:
            ConfigError: the file cannot be read, or others may read it.
        """
        match = _TOKEN.match(text)
        with self._lock:
            self._read_if_changed()
            token = self._tokens.get(match[1]) if match is not None else None
        salt, kept = (_NOBODY, _NOBODY) if token is None else (bytes.fromhex(token.salt), bytes.fromhex(token.hash))
        matches = hmac.compare_digest(_hash(salt, match[2] if match is not None else ""), kept)
        return token if matches and token is not None and token.is_valid() else None

    def is_live(self, token_id: str) -> bool:
        """Whether there is a token of that id that has not expired.

        Raises:
            ConfigError: the file cannot be read, or others may read it.
        """
        with self._lock:
            self._read_if_changed()
            token = self._tokens.get(token_id)
        return token is not None and token.is_valid()

    # -- inside -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self) -> Iterator[dict[str, Token]]:
        """The tokens, to be changed, alone among all processes; written when the block ends without an error."""
        folder = self.path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(folder / f".{FILE}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be written to ({error.strerror})") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with self._lock:
                self._read_if_changed()
                tokens = dict(self._tokens)
                yield tokens
                self._write(tokens)
                self._stamp = None
        finally:
            os.close(descriptor)

    def _read_if_changed(self) -> None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._tokens = None, {}
            return
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read ({error.strerror})") from error
        stamp = found.st_ino, found.st_size, found.st_mtime_ns
        if stamp == self._stamp:
            return
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise ConfigError(f"{self.path}: others may read it; run `chmod 600 {self.path}`")
        try:
            with self.path.open("rb") as file:
                kept = _File.model_validate_json(file.read(_MAX_FILE_BYTES))
        except (OSError, ValidationError):
            raise ConfigError(
                f"{self.path}: cannot be read, or is not of this version; delete it, and make new tokens"
            ) from None
        self._stamp, self._tokens = stamp, {token.id: token for token in kept.tokens}

    def _write(self, tokens: dict[str, Token]) -> None:
        part = self.path.with_name(f".{FILE}.{secrets.token_hex(4)}.part")
        content = _File(tokens=list(tokens.values())).model_dump_json(indent=1).encode() + b"\n"
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, self.path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise ConfigError(f"{self.path}: cannot be written ({error.strerror})") from error


def moment_text(seconds: float) -> str:
    """UTC in ISO 8601, to the second."""
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def _hash(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()
