"""The id of an uplink, which comes with every message: its words are put together without a codec.

It is the Keccak-256 of (chain id, ledger, sender, envelope) as the ABI encodes them, all of it in words of 32 bytes.
Source: `UplinkLedger.Envelope` and `_idOf` in `contracts/src/UplinkLedger.sol`.
"""

from __future__ import annotations

import struct

from eth_utils.crypto import keccak

from fedchain.errors import ChainError
from fedchain.messages.envelope import Envelope

ENVELOPE_TYPES = "(bytes32,uint32,uint16,uint32,uint8,address,uint16,bytes32,uint64,uint64)"
"""Of `UplinkLedger.Envelope`; a test compares it with the artifact."""

_WORDS = struct.Struct(">32s28xI30xH28xI31xB12x20s30xH32s24xQ24xQ")
_WORD_BYTES, _ADDRESS_BYTES = 32, 20


def head_of(chain_id: int, ledger: str) -> bytes:
    """What the ids of all uplinks of a ledger begin with.

    Args:
        chain_id: of its chain.
        ledger: its address, 0x-prefixed hex.
    """
    return chain_id.to_bytes(_WORD_BYTES, "big") + _address_word(ledger)


def uplink_id(head: bytes, sender: str, envelope: Envelope) -> bytes:
    """The id, 32 bytes.

    Args:
        head: of the ledger, from `head_of`.
        sender: address, 0x-prefixed hex.
        envelope: what is sent.

    Raises:
        ChainError: a field does not fit its type.
    """
    if (len(envelope.job_id), len(envelope.recipient), len(envelope.digest)) != (_WORD_BYTES, 20, _WORD_BYTES):
        raise ChainError("an envelope has a job id and a digest of 32 bytes, and a recipient of 20")
    try:
        words = _WORDS.pack(
            envelope.job_id,
            envelope.round,
            envelope.attempt,
            envelope.step,
            envelope.kind,
            envelope.recipient,
            envelope.schema,
            envelope.digest,
            envelope.size,
            envelope.statistic_e6,
        )
    except struct.error as error:
        raise ChainError(f"a number of an envelope does not fit its type: {error}") from error
    return keccak(head + _address_word(sender) + words)


def _address_word(address: str) -> bytes:
    try:
        raw = bytes.fromhex(address.removeprefix("0x"))
    except ValueError:
        raw = b""
    if len(raw) != _ADDRESS_BYTES:
        raise ChainError(f"address {address!r} is not 0x and 40 hex digits")
    return raw.rjust(_WORD_BYTES, b"\0")
