"""Signed asks and answers: what is forged, replayed, meant for others or stale is refused and named."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from fedchain.chain.account import Account, recover_signer
from fedchain.crypto.merkle import prove_leaf, root_of, verify_leaf
from fedchain.errors import AskError, DigestMismatchError, ReceiptError
from fedchain.inference.receipts import (
    FRESH_MS,
    UNSIGNED,
    Domain,
    ask_digest,
    check_answer,
    check_ask,
    check_receipt,
    receipt_leaf,
    sign_answer,
    sign_ask,
    sign_score_answer,
)
from fedchain.messages.online import Answer, Ask, Receipt, ScoreAnswer, ScoreAsk
from fedchain.types import PartyId
from tests.unit.messages.test_online import ANSWER, ASK, RECEIPT, SCORE_ANSWER, SCORE_ASK

OPERATOR, BANK = PartyId("operator"), PartyId("bank")
REQUESTER, ANSWERER, STRANGER = (Account.from_private_key(bytes([byte]) * 32) for byte in (1, 2, 3))
DOMAIN = Domain(31337, b"R" * 20)
NOW = 1_700_000_000_000


def address(account: Account) -> bytes:
    return bytes.fromhex(account.address[2:])


def signed(ask: Ask = ASK, by: Account = REQUESTER) -> Ask:
    own = replace(ask, requester=address(REQUESTER), answerer=address(ANSWERER))
    return sign_ask(DOMAIN, own, by.sign_uplink)


def checked(ask: Ask, domain: Domain = DOMAIN) -> bytes:
    return check_ask(domain, ask, OPERATOR, REQUESTER.address, address(ANSWERER), recover_signer)


def answered(ask: Ask, by: Account = ANSWERER, **changes: Any) -> Answer:
    bare = replace(ANSWER, signature=UNSIGNED, **{"time_ms": NOW, **changes})
    return sign_answer(DOMAIN, ask, ask_digest(DOMAIN, ask), bare, by.sign_uplink)


def accept(ask: Ask, answer: Answer | ScoreAnswer, *, domain: Domain = DOMAIN, now_ms: int = NOW) -> Receipt:
    digest = ask_digest(domain, ask)
    return check_answer(domain, ask, digest, answer, BANK, ANSWERER.address, recover_signer, now_ms)


@pytest.mark.parametrize("ask", [ASK, SCORE_ASK], ids=["bits", "scores"])
def test_an_ask_of_its_requester_is_accepted(ask: Ask) -> None:
    own = signed(ask)
    assert checked(own) == ask_digest(DOMAIN, own)


@pytest.mark.parametrize(
    "changes",
    [
        {"job": b"k" * 32},
        {"epoch": 4},
        {"first_serial": 8},
        {"tags": bytes(32)},
        {"model": bytes(32)},
        {"nonce": bytes(16)},
        {"planes": False},
        {"bits": b"\x04"},
        {"explain": False},
        {"signature": UNSIGNED},
        {"signature": b"\xff" * 65},
    ],
    ids=lambda one: next(iter(one)),
)
def test_an_ask_that_was_changed_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(AskError, match="not signed by its key") as caught:
        checked(replace(signed(SCORE_ASK), **changes))
    assert caught.value.culprit == OPERATOR


def test_an_ask_for_another_party_another_chain_or_by_another_key_is_refused() -> None:
    own = signed()
    for changes, says in (({"answerer": b"x" * 20}, "another party"), ({"tags": bytes(33)}, "whole number")):
        with pytest.raises(AskError, match=says):
            checked(replace(own, **changes))
    for domain in (Domain(31338, DOMAIN.router), Domain(31337, b"S" * 20)):
        with pytest.raises(AskError, match="not signed"):
            checked(own, domain)
    with pytest.raises(AskError, match="not signed"):
        checked(signed(by=STRANGER))


def test_an_ask_for_bits_is_no_ask_for_scores() -> None:
    as_scores = ScoreAsk(**{name: getattr(signed(), name) for name in Ask.__struct_fields__}, bits=b"")
    with pytest.raises(AskError, match="not signed"):
        checked(as_scores)


def test_a_receipt_of_an_answer_names_ask_and_content_and_is_good_by_itself() -> None:
    ask = signed()
    receipt = accept(ask, answered(ask))
    assert (receipt.first_serial, receipt.rows, receipt.ask) == (7, 2, ask_digest(DOMAIN, ask))
    assert (receipt.requester, receipt.answerer) == (address(REQUESTER), address(ANSWERER))
    check_receipt(DOMAIN, receipt, BANK, ANSWERER.address, recover_signer)
    for field in Receipt.__struct_fields__:
        value = getattr(receipt, field)
        other = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
        with pytest.raises(ReceiptError, match="not signed") as caught:
            check_receipt(DOMAIN, replace(receipt, **{field: other}), BANK, ANSWERER.address, recover_signer)
        assert caught.value.culprit == BANK


@pytest.mark.parametrize("changes", [{"bits": b"\x01\x03"}, {"time_ms": NOW + 1}, {"signature": UNSIGNED}])
def test_an_answer_that_was_changed_is_refused(changes: dict[str, Any]) -> None:
    ask = signed()
    with pytest.raises(ReceiptError, match="not signed") as caught:
        accept(ask, replace(answered(ask), **changes))
    assert caught.value.culprit == BANK


def test_an_answer_to_an_earlier_ask_is_refused_though_all_else_is_the_same() -> None:
    earlier, later = signed(), signed(replace(ASK, nonce=b"o" * 16))
    with pytest.raises(ReceiptError, match="another ask or answer"):
        accept(later, answered(earlier))


def test_an_answer_of_other_serials_or_another_number_of_rows_is_refused() -> None:
    ask = signed()
    cases: tuple[dict[str, Any], ...] = ({"first_serial": 8}, {"rows": 1})
    for changes in cases:
        with pytest.raises(ReceiptError, match="other serials") as caught:
            accept(ask, answered(ask, **changes))
        assert caught.value.culprit == BANK


def test_an_answer_of_another_party_or_another_chain_is_refused() -> None:
    ask = signed()
    with pytest.raises(ReceiptError, match="not signed"):
        accept(ask, answered(ask, by=STRANGER))
    with pytest.raises(ReceiptError, match="not signed"):
        accept(ask, answered(ask), domain=Domain(1, DOMAIN.router))


@pytest.mark.parametrize("off", [FRESH_MS + 1, -FRESH_MS - 1])
def test_a_stale_answer_is_refused(off: int) -> None:
    ask = signed()
    answer = answered(ask)
    with pytest.raises(ReceiptError, match="stale"):
        accept(ask, answer, now_ms=NOW + off)
    accept(ask, answer, now_ms=NOW + off // abs(off) * FRESH_MS)


@pytest.mark.parametrize(
    "changes",
    [{"scores": b"\1" * 16}, {"flags": b"\0\0"}, {"base": b""}, {"contributions": b""}, {"receipts": ()}],
    ids=lambda one: next(iter(one)),
)
def test_scores_are_under_the_active_party_s_receipt(changes: dict[str, Any]) -> None:
    ask = signed(SCORE_ASK)
    bare = replace(SCORE_ANSWER, time_ms=NOW, signature=UNSIGNED)
    answer = sign_score_answer(DOMAIN, ask, ask_digest(DOMAIN, ask), bare, ANSWERER.sign_uplink)
    accept(ask, answer)
    with pytest.raises(ReceiptError, match="not signed"):
        accept(ask, replace(answer, **changes))


def test_a_receipt_is_proven_among_those_of_an_anchored_root() -> None:
    receipts = [replace(RECEIPT, first_serial=number) for number in range(5)]
    leaves = [receipt_leaf(one) for one in receipts]
    root = root_of(leaves)
    for place, receipt in enumerate(receipts):
        proof = prove_leaf(leaves, place)
        verify_leaf(root, receipt_leaf(receipt), proof)
        with pytest.raises(DigestMismatchError):
            verify_leaf(root, receipt_leaf(replace(receipt, time_ms=6)), proof)
        with pytest.raises(DigestMismatchError):
            verify_leaf(root, receipt_leaf(receipt), dataclasses.replace(proof, index=(place + 1) % 5))
