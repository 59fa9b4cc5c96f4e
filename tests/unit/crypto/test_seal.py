from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.crypto.seal import SealingKey, check_commitment, commitment, open_sealed, seal
from fedchain.errors import DigestMismatchError, SealError

ALICE, BOB, EVE = (SealingKey.generate() for _ in range(3))
CONTEXT = b"job 1, round 2, attempt 0, kind 6"


def _sealed(plaintext: bytes = b"the order") -> bytes:
    return seal(plaintext, {"alice": ALICE.public, "bob": BOB.public}, CONTEXT)


def test_the_public_key_is_that_of_rfc_7748() -> None:
    """Bob's pair of RFC 7748 section 6.1."""
    private = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    expected = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    assert SealingKey.from_private(private).public.hex() == expected


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=40))
def test_every_recipient_opens_the_same_plaintext(plaintext: bytes, context: bytes) -> None:
    blob = seal(plaintext, {"alice": ALICE.public, "bob": BOB.public}, context)
    assert open_sealed(blob, "alice", ALICE.private, context) == plaintext
    assert open_sealed(blob, "bob", BOB.private, context) == plaintext


def test_the_layout_is_canonical() -> None:
    blob = seal(b"x", {"bob": BOB.public, "alice": ALICE.public}, CONTEXT)
    assert blob[0] == 1
    assert blob[65] == 2
    assert blob[66:72] == b"\x05alice"
    assert blob[120:124] == b"\x03bob"
    assert len(blob) == 1 + 32 + 32 + 1 + (1 + 5 + 48) + (1 + 3 + 48) + 1 + 16


def test_sealing_twice_shares_no_key_material() -> None:
    first, second = _sealed(), _sealed()
    assert first[1:33] != second[1:33]
    assert first[33:65] != second[33:65]
    assert first[-25:] != second[-25:]


def test_a_stranger_cannot_open() -> None:
    with pytest.raises(SealError, match="not for 'eve'"):
        open_sealed(_sealed(), "eve", EVE.private, CONTEXT)
    with pytest.raises(SealError, match="does not open for 'alice'"):
        open_sealed(_sealed(), "alice", EVE.private, CONTEXT)
    with pytest.raises(SealError, match="does not open for 'bob'"):
        open_sealed(_sealed(), "bob", ALICE.private, CONTEXT)


@pytest.mark.parametrize("context", [b"", CONTEXT + b"!", CONTEXT[:-1]])
def test_another_context_does_not_open(context: bytes) -> None:
    with pytest.raises(SealError, match="another context"):
        open_sealed(_sealed(), "alice", ALICE.private, context)


def test_every_flipped_bit_is_noticed() -> None:
    blob = _sealed(b"abc")
    for position in range(len(blob)):
        for bit in range(8):  # also the top bit of the X25519 key, which X25519 itself ignores
            tampered = bytearray(blob)
            tampered[position] ^= 1 << bit
            with pytest.raises(SealError):
                open_sealed(bytes(tampered), "alice", ALICE.private, CONTEXT)


def test_every_truncation_and_extension_is_noticed() -> None:
    blob = _sealed(b"abc")
    for end in range(len(blob)):
        with pytest.raises(SealError):
            open_sealed(blob[:end], "alice", ALICE.private, CONTEXT)
    with pytest.raises(SealError):
        open_sealed(blob + b"\x00", "alice", ALICE.private, CONTEXT)


@given(st.binary(max_size=400))
def test_arbitrary_bytes_raise_a_typed_error(blob: bytes) -> None:
    for data in (blob, b"\x01" + blob):
        with pytest.raises(SealError):
            open_sealed(data, "alice", ALICE.private, CONTEXT)


def test_recipients_out_of_bounds_are_refused() -> None:
    nine = {f"p{i}": ALICE.public for i in range(9)}
    for recipients in ({}, nine, {"": ALICE.public}, {"x" * 65: ALICE.public}, {"a": b"short"}):
        with pytest.raises(SealError):
            seal(b"x", recipients, CONTEXT)
    blob = seal(b"x", dict(list(nine.items())[:8]) | {"p7": ALICE.public}, CONTEXT)
    assert open_sealed(blob, "p7", ALICE.private, CONTEXT) == b"x"


@pytest.mark.parametrize("low_order", [bytes(32), b"\x01" + bytes(31)])
def test_public_keys_of_low_order_are_refused(low_order: bytes) -> None:
    with pytest.raises(SealError, match="low order"):
        seal(b"x", {"alice": low_order}, CONTEXT)
    blob = _sealed()
    with pytest.raises(SealError, match="low order"):
        open_sealed(blob[:1] + low_order + blob[33:], "alice", ALICE.private, CONTEXT)


def test_a_sealing_key_shows_no_secret() -> None:
    assert ALICE.private.hex() not in repr(ALICE)
    assert repr(ALICE.private) not in repr(ALICE)
    with pytest.raises(SealError, match="32 bytes"):
        SealingKey.from_private(b"short")


def test_a_commitment_binds_value_and_salt() -> None:
    salt = bytes(range(32))
    committed = commitment(b"value", salt)
    assert committed == hashlib.sha256(b"fedchain commitment v1" + salt + b"value").digest()
    check_commitment(committed, b"value", salt, "op")
    for value, other in ((b"valuf", salt), (b"value", bytes(32))):
        with pytest.raises(DigestMismatchError, match="op's seed"):
            check_commitment(committed, value, other, "op's seed")
    with pytest.raises(SealError, match="32 bytes"):
        commitment(b"value", b"short")
