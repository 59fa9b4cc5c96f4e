"""The codec: MessagePack arrays of typed fields, canonical by re-encoding (https://msgpack.org).

Decoding checks every field's type and length bound, then encodes the result again and compares: a payload has one
encoding only, so equal messages have equal digests. No pickle, no code, no class names on the wire.
"""

from __future__ import annotations

import re
from typing import ClassVar, TypeVar

import msgspec

from fedchain.errors import MessageError
from fedchain.types import Kind


class Wire(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of everything that travels between parties."""


class Message(Wire, frozen=True):
    """Base of everything that travels as an uplink's payload."""

    kind: ClassVar[Kind]


M = TypeVar("M", bound=Wire)

MAX_JSON_DEPTH = 64
_JSON_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def require_shallow_json(raw: bytes) -> None:
    """Refuse JSON that nests deeper than `MAX_JSON_DEPTH`, before a parser recurses into it.

    Parsers rely on the interpreter's recursion limit, which libraries raise far beyond what the stack holds.

    Raises:
        MessageError: nests deeper.
    """
    depth = 0
    for token in _JSON_TOKEN.finditer(raw):
        first = raw[token.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_JSON_DEPTH:
                raise MessageError(f"JSON nests deeper than {MAX_JSON_DEPTH} levels")
        elif first in b"]}":
            depth -= 1


def kind_of(message_type: type[Message]) -> Kind:
    """The uplink kind that carries this message type."""
    return message_type.kind


def encode(message: Wire) -> bytes:
    """Canonical bytes of a message."""
    return msgspec.msgpack.encode(message)


def decode(payload: bytes, message_type: type[M]) -> M:
    """Parse a payload that should be a `message_type`.

    Raises:
        MessageError: malformed, out of bounds, or not the canonical encoding.
    """
    try:
        message = msgspec.msgpack.decode(payload, type=message_type)
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise MessageError(f"payload is not a valid {message_type.__name__}: {error}") from error
    if encode(message) != payload:
        raise MessageError(f"payload is not the canonical encoding of {message_type.__name__}")
    return message
