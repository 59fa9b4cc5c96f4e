"""What a passive requester makes of the receipts that the active party passes on, and of refusals."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from fedchain.chain import Account
from fedchain.errors import AskRefusedError, ProtocolViolationError, ReceiptError
from fedchain.inference.receipts import Domain, receipt_digest
from fedchain.messages.online import Receipt, ScoreAnswer
from fedchain.node.online.passiveround import PassiveRound
from fedchain.node.online.reserving import MOST
from fedchain.node.online.rounds import Rounds

BANK, SHOP, TILL = (Account.from_private_key(bytes([number]) * 32) for number in (1, 2, 3))
ADDRESSES = {"bank": BANK.address, "shop": SHOP.address, "till": TILL.address}
DOMAIN = Domain(1337, bytes(20))
JOB = bytes([0x5C]) * 32
ROWS = 3


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def receipt(by: Account = TILL, signer: Account | None = None, **changed: Any) -> Receipt:
    fields: dict[str, Any] = {
        "job": JOB, "requester": bytes.fromhex(BANK.address[2:]), "answerer": bytes.fromhex(by.address[2:]),
        "first_serial": 7, "rows": ROWS, "ask": bytes(32), "content": bytes(32), "time_ms": now_ms(), **changed,
    }  # fmt: skip
    digest = receipt_digest(DOMAIN, Receipt(**fields, signature=bytes(65)))
    return Receipt(**fields, signature=(signer or by).sign_uplink(digest))


def check(receipts: tuple[Receipt, ...], flags: bytes = bytes(ROWS)) -> None:
    """shop asked bank, which asked till."""
    job = SimpleNamespace(
        active="bank", passive=("shop", "till"), me="shop", job_bytes=JOB, domain=DOMAIN, addresses=ADDRESSES,
        address_bytes=lambda party: bytes.fromhex(ADDRESSES[party][2:]),
    )  # fmt: skip
    directory = SimpleNamespace(
        participant=lambda address: SimpleNamespace(signer=address), forget=lambda address: None
    )
    one = PassiveRound.__new__(PassiveRound)
    one._rounds = cast(Any, SimpleNamespace(exchange=SimpleNamespace(directory=directory)))
    one._job, one._positions = cast(Any, job), np.arange(ROWS)
    one._check_others(
        ScoreAnswer(
            first_serial=1, rows=ROWS, outputs=1, scores=bytes(8 * ROWS), flags=flags, receipts=receipts,
            time_ms=now_ms(), signature=bytes(65),
        )
    )  # fmt: skip


def test_receipts_of_everybody_asked_are_fine_and_of_the_silent_are_not_needed() -> None:
    check((receipt(),))
    check((receipt(rows=ROWS + 1),))
    check((), flags=bytes([2] * ROWS))


@pytest.mark.parametrize(
    ("receipts", "words"),
    [
        (lambda: (), "no receipt of till"),
        (lambda: (receipt(signer=BANK),), "'till' has not signed"),
        (lambda: (receipt(), receipt()), "nothing to do"),
        (lambda: (receipt(by=SHOP),), "nothing to do"),
        (lambda: (receipt(job=bytes(32)),), "nothing to do"),
        (lambda: (receipt(rows=ROWS - 1),), "other rows"),
        (lambda: (receipt(time_ms=now_ms() - 3_600_000),), "not of now"),
    ],
)
def test_the_active_party_is_named_for_what_it_passes_on(receipts: Any, words: str) -> None:
    with pytest.raises(ReceiptError, match=words) as found:
        check(receipts())
    assert found.value.culprit == "bank"


def rounds_with(next_on_chain: int) -> tuple[Rounds, list[int], list[str]]:
    floors, blamed = list[int](), list[str]()
    reservations = SimpleNamespace(next_on_chain=lambda: next_on_chain, drop_below=floors.append)
    meter = SimpleNamespace(on_bad_answer=blamed.append)
    job = SimpleNamespace(job_id="0x5c")
    return (
        Rounds(cast(Any, job), cast(Any, None), cast(Any, reservations), cast(Any, None), cast(Any, meter)),
        floors,
        blamed,
    )


def test_what_was_begun_is_given_up_but_never_what_is_reserved_later() -> None:
    rounds, floors, blamed = rounds_with(500)
    rounds.renew([(cast(Any, "till"), AskRefusedError("begun", "begun", 300))], 250, 1, 1)
    rounds.renew([(cast(Any, "till"), AskRefusedError("begun", "begun", 564))], 250, 1, 1)
    rounds.renew([(cast(Any, "till"), AskRefusedError("spent", "spent", 0))], 250, 3, 1)
    assert (floors, blamed) == ([300, 500, 253], [])
    with pytest.raises(ProtocolViolationError, match="never reserved") as found:
        rounds.renew([(cast(Any, "till"), AskRefusedError("begun", "begun", 501 + MOST))], 250, 1, 1)
    assert (found.value.culprit, blamed, len(floors)) == ("till", ["till"], 3)
