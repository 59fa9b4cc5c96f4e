"""Signatures of asks and answers, and receipts: an answerer's word for one answer that it cannot take back.

A digest binds the chain, the router, and every field of the message. It is signed with the party's chain key by a
function that is handed in, so that nothing here knows keys; the digests begin with a tag of their own, so that no
signature of another purpose is one of these.

A receipt holds for one answer to one ask: it names both by digest. What it shows to others: who asked whom, when, for
how many rows, and their serials.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from fedchain.crypto.merkle import leaf_hash
from fedchain.errors import AskError, CryptoError, ReceiptError
from fedchain.messages.base import encode
from fedchain.messages.online import TAG_BYTES, Answer, Ask, Receipt, ScoreAnswer, ScoreAsk
from fedchain.types import PartyId

Sign = Callable[[bytes], bytes]
"""Signs 32 bytes with the chain key: 65 bytes (`Account.sign_uplink`)."""
Recover = Callable[[bytes, bytes], str]
"""The address that signed 32 bytes, in hex; raises CryptoError where nobody could have (`recover_signer`)."""

FRESH_MS = 5 * 60_000
"""How far an answer's time may be from the requester's clock."""
UNSIGNED = bytes(65)


@dataclass(frozen=True)
class Domain:
    """What signatures are for.

    Attributes:
        chain_id: of the chain.
        router: address of the contract that counts quotas, 20 bytes.
    """

    chain_id: int
    router: bytes

    @property
    def prefix(self) -> bytes:
        """52 bytes."""
        return self.chain_id.to_bytes(32, "big") + self.router


def ask_digest(domain: Domain, ask: Ask) -> bytes:
    """What the requester signs: 32 bytes, over all fields."""
    tag = b"fedchain-score-ask-1" if isinstance(ask, ScoreAsk) else b"fedchain-ask-1"
    return hashlib.sha256(tag + domain.prefix + encode(replace(ask, signature=UNSIGNED))).digest()


def content_digest(answer: Answer | ScoreAnswer) -> bytes:
    """SHA-256 of what was answered, its signature aside."""
    tag = b"fedchain-score-answer-1" if isinstance(answer, ScoreAnswer) else b"fedchain-answer-1"
    return hashlib.sha256(tag + encode(replace(answer, signature=UNSIGNED))).digest()


def receipt_digest(domain: Domain, receipt: Receipt) -> bytes:
    """What the answerer signs: 32 bytes."""
    return hashlib.sha256(b"fedchain-receipt-1" + domain.prefix + encode(replace(receipt, signature=UNSIGNED))).digest()


def receipt_leaf(receipt: Receipt) -> bytes:
    """A receipt's leaf in the tree whose root is anchored on the chain: 32 bytes (`fedchain.crypto.merkle`)."""
    return leaf_hash(encode(receipt))


def sign_ask(domain: Domain, ask: Ask, sign: Sign) -> Ask:
    """The ask with its requester's signature."""
    return replace(ask, signature=sign(ask_digest(domain, ask)))


def check_ask(domain: Domain, ask: Ask, requester: PartyId, signer: str, answerer: bytes, recover: Recover) -> bytes:
    """Check that an ask is its requester's and for this party.

    Whether its serials are free, its model is known and its epoch in force is for the caller to check.

    Args:
        domain: of this consortium.
        ask: as it came.
        requester: name of the participant of `ask.requester`.
        signer: address of the key that acts for it.
        answerer: this party's address, 20 bytes.
        recover: see `Recover`.

    Returns:
        The ask's digest.

    Raises:
        AskError: another party's, for another party, or half a tag; names the requester.
    """
    if ask.answerer != answerer:
        raise AskError(requester, "its ask is for another party")
    if len(ask.tags) % TAG_BYTES:
        raise AskError(requester, "its ask holds no whole number of tags")
    digest = ask_digest(domain, ask)
    if not _is_signed_by(signer, digest, ask.signature, recover):
        raise AskError(requester, "its ask is not signed by its key")
    return digest


def sign_answer(domain: Domain, ask: Ask, ask_hash: bytes, answer: Answer, sign: Sign) -> Answer:
    """The answer with the answerer's receipt in it.

    Args:
        domain: of this consortium.
        ask: what is answered.
        ask_hash: its digest, as `check_ask` gave it.
        answer: unsigned (`UNSIGNED`).
        sign: see `Sign`.
    """
    receipt = receipt_of(ask, ask_hash, answer)
    return replace(answer, signature=sign(receipt_digest(domain, receipt)))


def sign_score_answer(domain: Domain, ask: Ask, ask_hash: bytes, answer: ScoreAnswer, sign: Sign) -> ScoreAnswer:
    """The same for an answer with scores."""
    return replace(answer, signature=sign(receipt_digest(domain, receipt_of(ask, ask_hash, answer))))


def receipt_of(ask: Ask, ask_hash: bytes, answer: Answer | ScoreAnswer) -> Receipt:
    """The receipt that an answer's signature is of."""
    return Receipt(
        job=ask.job,
        requester=ask.requester,
        answerer=ask.answerer,
        first_serial=answer.first_serial,
        rows=answer.rows,
        ask=ask_hash,
        content=content_digest(answer),
        time_ms=answer.time_ms,
        signature=answer.signature,
    )


def check_answer(
    domain: Domain,
    ask: Ask,
    ask_hash: bytes,
    answer: Answer | ScoreAnswer,
    answerer: PartyId,
    signer: str,
    recover: Recover,
    now_ms: int,
) -> Receipt:
    """Check that an answer is the answerer's, to this ask, and of now.

    Args:
        domain: of this consortium.
        ask, ask_hash: what was asked, and its digest.
        answer: as it came.
        answerer: name of the participant of `ask.answerer`.
        signer: address of the key that acts for it.
        recover: see `Recover`.
        now_ms: the requester's clock.

    Returns:
        The receipt, to be kept.

    Raises:
        ReceiptError: forged, of another ask or answer, or stale; names the answerer.
    """
    if (answer.first_serial, answer.rows) != (ask.first_serial, ask.rows):
        raise ReceiptError(answerer, "its receipt is of other serials than were asked for")
    receipt = receipt_of(ask, ask_hash, answer)
    check_receipt(domain, receipt, answerer, signer, recover)
    if abs(answer.time_ms - now_ms) > FRESH_MS:
        raise ReceiptError(answerer, f"its receipt is stale: {abs(answer.time_ms - now_ms) // 1000} s from now")
    return receipt


def check_receipt(domain: Domain, receipt: Receipt, answerer: PartyId, signer: str, recover: Recover) -> None:
    """Check that a receipt is the answerer's; as anybody can who has it.

    Raises:
        ReceiptError: forged, or of another ask or answer; names the answerer.
    """
    if not _is_signed_by(signer, receipt_digest(domain, receipt), receipt.signature, recover):
        raise ReceiptError(answerer, "its receipt is not signed by its key, or is of another ask or answer")


def _is_signed_by(signer: str, digest: bytes, signature: bytes, recover: Recover) -> bool:
    try:
        found = recover(digest, signature)
    except CryptoError:
        return False
    return hmac.compare_digest(found.lower().encode(), signer.lower().encode())
