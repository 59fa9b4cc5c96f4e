"""The codec: one encoding per message, and typed errors for everything else."""

from __future__ import annotations

import inspect

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fedchain.messages as exported
from fedchain.errors import MessageError
from fedchain.messages import (
    AskingSet,
    AuditOpening,
    BlindedIds,
    CachedChunk,
    CachedSet,
    Contribution,
    Gradients,
    Histogram,
    IdSet,
    LeafWeights,
    Matches,
    Message,
    Partition,
    PredictAnswer,
    PredictRequest,
    PublicKey,
    ShardDigest,
    Split,
    SplitNode,
    decode,
    encode,
    kind_of,
)
from fedchain.messages.base import require_shallow_json
from fedchain.types import Kind
from tests.strategies import messages

TYPES: list[type[Message]] = [
    AskingSet,
    AuditOpening,
    BlindedIds,
    CachedChunk,
    CachedSet,
    Contribution,
    Gradients,
    Histogram,
    IdSet,
    LeafWeights,
    Matches,
    Partition,
    PredictAnswer,
    PredictRequest,
    PublicKey,
    ShardDigest,
    Split,
]


ALIGNMENT = (IdSet, CachedSet, AskingSet, CachedChunk, Matches)


def test_every_kind_has_one_message_type_and_blinded_ids_those_around_them() -> None:
    found = {one for one in vars(exported).values() if inspect.isclass(one) and issubclass(one, Message)} - {Message}
    assert found == set(TYPES)
    assert sorted(kind_of(one) for one in TYPES if one not in ALIGNMENT) == sorted(Kind)
    assert {kind_of(one) for one in ALIGNMENT} == {Kind.BLINDED_IDS}
    assert kind_of(PredictAnswer) is Kind.PREDICT_ANSWER


@given(messages())
def test_decoding_gives_back_what_was_encoded(message: Message) -> None:
    payload = encode(message)
    assert payload
    assert decode(payload, type(message)) == message


@settings(max_examples=300)
@given(st.binary(max_size=120), st.sampled_from(TYPES))
def test_random_bytes_are_a_message_error_or_a_canonical_message(payload: bytes, message_type: type[Message]) -> None:
    try:
        message = decode(payload, message_type)
    except MessageError:
        return
    assert encode(message) == payload


@settings(max_examples=300)
@given(messages(), st.data())
def test_damaged_messages_are_a_message_error_or_another_canonical_message(
    message: Message, data: st.DataObject
) -> None:
    payload = bytearray(encode(message))
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] = data.draw(st.integers(0, 255))
    keep = data.draw(st.integers(0, len(payload)))
    raw = bytes(payload[:keep]) + data.draw(st.binary(max_size=3))
    try:
        again = decode(raw, type(message))
    except MessageError:
        return
    assert encode(again) == raw


@given(messages(), st.sampled_from(TYPES))
def test_one_kind_s_payload_is_no_message_of_another_kind_unless_it_is_its_canonical_form(
    message: Message, other: type[Message]
) -> None:
    try:
        again = decode(encode(message), other)
    except MessageError:
        return
    assert encode(again) == encode(message)


NODE = [0, 1, 0, 0, False]


@pytest.mark.parametrize(
    ("message_type", "document"),
    [
        (PublicKey, [bytes(31), bytes(32), b"", True, b""]),
        (PublicKey, [bytes(32), bytes(33), b"", True, b""]),
        (PublicKey, [bytes(32), bytes(32), bytes(33 * 64 + 1), True, b""]),
        (PublicKey, [bytes(32), bytes(32), b"", True]),
        (PublicKey, [bytes(32), bytes(32), b"", 1, b""]),
        (PublicKey, [bytes(32), bytes(32), b"", True, bytes(33)]),
        (BlindedIds, [8, 1, 0, b""]),
        (BlindedIds, [-1, 1, 0, b""]),
        (BlindedIds, [0, 0, 0, b""]),
        (BlindedIds, [0, 9, 0, b""]),
        (BlindedIds, [0, 1, 20_000_001, b""]),
        (BlindedIds, [0, 1, -1, b""]),
        (BlindedIds, [0, 1, 0, b"", bytes(65)]),
        (IdSet, [0, 1, b"", b""]),
        (IdSet, [1, 0, b"", b""]),
        (IdSet, [20_000_001, 1, b"", b""]),
        (IdSet, [1, 1, bytes(32 * 2**16 + 1), b""]),
        (IdSet, [1, 1, b"", bytes(34)]),
        (Gradients, [b"", b"", 0, b""]),
        (Gradients, [b"", b"", -1, b""]),
        (Gradients, [b"", 1, b""]),
        (Histogram, [[-1], [], b""]),
        (Histogram, [[2**20 + 1], [], b""]),
        (Histogram, [[0], [[b""]], b""]),
        (Histogram, [[0], [[[b"\1"]]], b""]),
        (Histogram, [[0], [[[b"\1", 0, 0]]], b""]),
        (Histogram, [[0], [[[b"\1", 3]]], b""]),
        (Histogram, [[0], [[[b"\1", -1]]], b""]),
        (Histogram, [[0], [[[b"\1", True]]], b""]),
        (Histogram, [[0], [[[b"\1" * 128, 0]]], b""]),
        (Histogram, [[0], [[[b"", 0]] * (2**16 + 1)], b""]),
        (Histogram, [[0], [[]] * (2**16 + 1), b""]),
        (Histogram, [[0] * (2**16 + 1), [], b""]),
        (Split, [[[0, 8, 0, 0, False]]]),
        (Split, [[[0, -2, 0, 0, False]]]),
        (Split, [[[0, 0, 0, 256, False]]]),
        (Split, [[[0, 0, 0, 0, 0]]]),
        (Split, [[[0, 0, 0, 0]]]),
        (Split, [[[*NODE, 0]]]),
        (LeafWeights, [bytes(32), b"", 1, 0]),
        (LeafWeights, [bytes(32), b"", None, 0]),
        (LeafWeights, [bytes(32), b"", True]),
        (LeafWeights, [bytes(32), b"", True, -1]),
        (LeafWeights, [bytes(32), b"", True, 2**20 + 1]),
        (Contribution, [0, [0] * 4, [0, 0]]),
        (Contribution, [1, [0] * 3, [0, 0]]),
        (Contribution, [1, [0] * 257, [0, 0]]),
        (Contribution, [1, [0] * 4, [0]]),
        (Contribution, [1, [0] * 4, [0] * 9]),
        (PredictRequest, [0, b""]),
        (PredictRequest, [2**24 + 1, b""]),
        (PredictRequest, [1.0, b""]),
        (PredictRequest, [True, b""]),
        (ShardDigest, [bytes(31)]),
        (ShardDigest, [[bytes(32)]]),
        (ShardDigest, []),
        (ShardDigest, [bytes(32), 0]),
        (ShardDigest, None),
        (ShardDigest, {"digest": bytes(32)}),
    ],
)
def test_fields_out_of_bounds_are_refused(message_type: type[Message], document: object) -> None:
    with pytest.raises(MessageError):
        decode(msgspec.msgpack.encode(document), message_type)


def test_the_bounds_themselves_are_accepted() -> None:
    """Else the refusals above might be of something else."""
    for message in (
        BlindedIds(7, 8, 20_000_000, b"", bytes(64)),
        IdSet(20_000_000, 20_000_000, bytes(32 * 2**16), bytes(33)),
        IdSet(1, 1, b"", b""),
        PublicKey(bytes(32), bytes(32), bytes(33 * 64), False, bytes(32), bytes(32)),
        PublicKey(bytes(32), bytes(32), b"", True, b"", bytes(32)),
        Gradients(b"", b"", 1, b""),
        Histogram((2**20,), (((b"\1" * 127, 2), (b"", 0)),), b""),
        Histogram((0,), ((),), b""),
        LeafWeights(bytes(32), b"", True, 2**20),
        Split((SplitNode(2**20, 7, 2**16, 255, True), SplitNode(0, -1, -1, -1, False))),
        PredictRequest(2**24, b""),
        ShardDigest(bytes(32)),
    ):
        assert decode(encode(message), type(message)) == message


@pytest.mark.parametrize("message_type", TYPES)
@pytest.mark.parametrize("header", [b"\xdd\xff\xff\xff\xff", b"\xdc\xff\xff", b"\x91\xdd\xff\xff\xff\xff", b""])
def test_an_announced_length_without_content_costs_no_memory(message_type: type[Message], header: bytes) -> None:
    with pytest.raises(MessageError):
        decode(header, message_type)


@pytest.mark.parametrize("message_type", TYPES)
def test_deep_nesting_is_a_message_error(message_type: type[Message]) -> None:
    with pytest.raises(MessageError):
        decode(b"\x91" * 100_000, message_type)


@pytest.mark.parametrize(
    ("canonical", "other"),
    [
        (b"\x91\xc4\x20", b"\x91\xc5\x00\x20"),
        (b"\x91\xc4\x20", b"\x91\xc6\x00\x00\x00\x20"),
        (b"\x91\xc4\x20", b"\xdc\x00\x01\xc4\x20"),
        (b"\x91\xc4\x20", b"\x91\xd9\x20"),
    ],
    ids=["16-bit length", "32-bit length", "long array", "text instead of bytes"],
)
def test_other_encodings_of_the_same_message_are_refused(canonical: bytes, other: bytes) -> None:
    assert encode(ShardDigest(b"d" * 32)) == canonical + b"d" * 32
    with pytest.raises(MessageError):
        decode(other + b"d" * 32, ShardDigest)


def test_integers_have_one_encoding() -> None:
    assert encode(PredictRequest(5, b"")) == b"\x92\x05\xc4\x00"
    for number in (b"\xcc\x05", b"\xcd\x00\x05", b"\xd0\x05", b"\xcb" + bytes.fromhex("4014000000000000")):
        with pytest.raises(MessageError):
            decode(b"\x92" + number + b"\xc4\x00", PredictRequest)


def test_a_shard_digest_payload_ends_with_the_digest() -> None:
    """The contract reads the last 32 bytes."""
    digest = bytes(range(32))
    assert encode(ShardDigest(digest))[-32:] == digest


def test_json_that_nests_deeply_is_refused_before_it_is_parsed() -> None:
    require_shallow_json(b"[" * 64 + b"]" * 64)
    for raw in (b"[" * 65, b'{"a":' * 100_000, b"[]" * 10 + b"[" * 65):
        with pytest.raises(MessageError, match="nests deeper"):
            require_shallow_json(raw)


def test_brackets_in_json_text_do_not_count() -> None:
    require_shallow_json(b'["' + b"[" * 1000 + rb"\"" + b"{" * 1000 + b'"]')
