"""Messages between a requester and an answerer: bounded, one encoding each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fedchain.errors import MessageError
from fedchain.messages.base import Wire, decode, encode
from fedchain.messages.online import (
    MAX_ASK_ROWS,
    MAX_BITS_BYTES,
    MAX_SERIAL,
    Answer,
    Ask,
    Receipt,
    ScoreAnswer,
    ScoreAsk,
    rows_within,
)

ASK = Ask(
    job=b"j" * 32,
    requester=b"r" * 20,
    answerer=b"a" * 20,
    epoch=3,
    first_serial=7,
    tags=bytes(range(32)),
    model=b"m" * 32,
    nonce=b"n" * 16,
    planes=True,
    signature=b"s" * 65,
)
SCORE_ASK = ScoreAsk(**{name: getattr(ASK, name) for name in Ask.__struct_fields__}, bits=b"\x03", explain=True)
ANSWER = Answer(first_serial=7, rows=2, bits=b"\x01\x02", time_ms=5, signature=b"s" * 65)
RECEIPT = Receipt(
    job=b"j" * 32,
    requester=b"r" * 20,
    answerer=b"a" * 20,
    first_serial=7,
    rows=2,
    ask=b"d" * 32,
    content=b"c" * 32,
    time_ms=5,
    signature=b"s" * 65,
)
SCORE_ANSWER = ScoreAnswer(
    first_serial=7,
    rows=2,
    outputs=1,
    scores=bytes(16),
    flags=b"\0\1",
    base=bytes(8),
    contributions=bytes(48),
    receipts=(RECEIPT,),
    time_ms=5,
    signature=b"s" * 65,
)
ALL: list[Wire] = [ASK, SCORE_ASK, ANSWER, RECEIPT, SCORE_ANSWER]


@pytest.mark.parametrize("message", ALL, ids=lambda one: type(one).__name__)
def test_a_message_has_one_encoding_and_comes_back_the_same(message: Wire) -> None:
    raw = encode(message)
    assert decode(raw, type(message)) == message
    for broken in (raw[:-1], raw + b"\0", b"", raw[1:]):
        with pytest.raises(MessageError):
            decode(broken, type(message))


def test_an_ask_for_scores_is_not_taken_for_one_for_bits() -> None:
    with pytest.raises(MessageError):
        decode(encode(SCORE_ASK), Ask)
    with pytest.raises(MessageError):
        decode(encode(ASK), ScoreAsk)


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        (ASK, {"job": bytes(31)}),
        (ASK, {"requester": bytes(21)}),
        (ASK, {"answerer": b""}),
        (ASK, {"tags": bytes(15)}),
        (ASK, {"tags": bytes(16 * MAX_ASK_ROWS + 1)}),
        (ASK, {"epoch": -1}),
        (ASK, {"first_serial": MAX_SERIAL + 1}),
        (ASK, {"nonce": bytes(15)}),
        (ASK, {"model": bytes(33)}),
        (ASK, {"signature": bytes(64)}),
        (ANSWER, {"rows": 0}),
        (ANSWER, {"rows": MAX_ASK_ROWS + 1}),
        (ANSWER, {"time_ms": -1}),
        (ANSWER, {"signature": b""}),
        (SCORE_ANSWER, {"outputs": 0}),
        (SCORE_ANSWER, {"outputs": 65}),
        (SCORE_ANSWER, {"receipts": (RECEIPT,) * 9}),
        (SCORE_ANSWER, {"flags": bytes(MAX_ASK_ROWS + 1)}),
        (RECEIPT, {"ask": bytes(31)}),
        (RECEIPT, {"content": bytes(33)}),
    ],
)
def test_what_is_out_of_bounds_is_refused(message: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(MessageError):
        decode(encode(replace(message, **changes)), type(message))


@given(st.binary(max_size=200), st.sampled_from(ALL))
def test_any_bytes_are_a_message_or_a_typed_error(raw: bytes, message: Wire) -> None:
    try:
        found = decode(raw, type(message))
    except MessageError:
        return
    assert encode(found) == raw


def test_rows_of_an_ask_are_its_tags() -> None:
    assert ASK.rows == 2


@pytest.mark.parametrize("bits", [0, 1, 8, 100, 1600, 40_000, 2000 * 256])
def test_as_many_rows_as_fit_go_in_one_ask_in_either_form(bits: int) -> None:
    rows = rows_within(bits)
    assert rows == MAX_ASK_ROWS or rows % 8 == 0
    assert 8 <= rows <= MAX_ASK_ROWS
    assert rows * -(-bits // 8) <= MAX_BITS_BYTES
    assert -(-rows // 8) * bits <= MAX_BITS_BYTES
    assert rows == MAX_ASK_ROWS or (rows + 8) * -(-bits // 8) > MAX_BITS_BYTES
