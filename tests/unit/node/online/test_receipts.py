"""Receipts outlive their process, are anchored once each, and what was changed in them is found."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.chain import Account, recover_signer
from fedchain.chain.inference import Anchor
from fedchain.crypto.merkle import ChunkProof, verify_leaf
from fedchain.errors import AuditError, ChainError, ModelFormatError, UnknownJobError
from fedchain.inference.receipts import Domain, receipt_digest, receipt_leaf
from fedchain.messages.base import encode
from fedchain.messages.online import Receipt
from fedchain.node.online import checking
from fedchain.node.online import receipts as receipts_module
from fedchain.node.online.anchoring import Anchorer
from fedchain.node.online.checking import ReceiptBook
from fedchain.node.online.receipts import ReceiptFiles, ReceiptLog, rows_of_receipts
from fedchain.types import JobId

JOB = JobId("0x" + "5c" * 32)
ME, BANK, SHOP = (Account.from_private_key(bytes([number]) * 32) for number in (1, 2, 3))
DOMAIN = Domain(1337, bytes(20))


def receipt(serial: int, rows: int = 1, by: Account = BANK) -> Receipt:
    fields: dict[str, Any] = {
        "job": bytes.fromhex(JOB[2:]), "requester": bytes.fromhex(ME.address[2:]),
        "answerer": bytes.fromhex(by.address[2:]), "first_serial": serial, "rows": rows,
        "ask": bytes([serial]) * 32, "content": bytes(32), "time_ms": 1_700_000_000_000,
    }  # fmt: skip
    unsigned = Receipt(**fields, signature=bytes(65))
    return Receipt(**fields, signature=by.sign_uplink(receipt_digest(DOMAIN, unsigned)))


class Router:
    """The contract's anchors of one requester; `fails` makes sending fail before or after it is mined."""

    def __init__(self) -> None:
        self.roots: list[tuple[bytes, int]] = []
        self.fails = ""

    def anchored(self, job_id: JobId, address: str) -> tuple[int, int]:
        return len(self.roots), sum(rows for _, rows in self.roots)

    def is_anchored(self, job_id: JobId, address: str, index: int, root: bytes) -> bool:
        return index < len(self.roots) and self.roots[index][0] == root

    def anchors(self, job_id: JobId, address: str, from_block: int) -> list[Anchor]:
        return [Anchor(index, root, rows, 10 + index) for index, (root, rows) in enumerate(self.roots)]

    def anchor(self, job_id: JobId, root: bytes, count: int) -> Anchor:
        if self.fails == "before":
            raise ChainError("not mined in time")
        self.roots.append((root, count))
        if self.fails == "after":
            raise ChainError("killed before the receipt came")
        return self.anchors(job_id, "", 0)[-1]


class Consortium:
    """As much of one as receipts need."""

    def __init__(self) -> None:
        self.inference = Router()
        self.deployment = None

    def job(self, job_id: JobId) -> Any:
        return SimpleNamespace(roster=[ME.address, BANK.address, SHOP.address])

    def participant(self, address: str) -> Any:
        return SimpleNamespace(name={BANK.address: "bank", SHOP.address: "shop"}.get(address, ""))

    def is_key_of(self, party: str, key: str) -> bool:
        return party == key


@pytest.fixture
def consortium(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(checking, "domain_of", lambda one: DOMAIN)
    return Consortium()


def book(consortium: Any, folder: Path) -> ReceiptBook:
    return ReceiptBook(consortium, ReceiptFiles(folder, JOB), JOB, ME.address)


def keep(folder: Path, receipts: list[Receipt]) -> None:
    log = ReceiptLog(folder, JOB)
    log.append(receipts)
    log.close()


def test_receipts_outlive_their_process_but_for_a_torn_end(tmp_path: Path) -> None:
    log = ReceiptLog(tmp_path, JOB)
    both = [receipt(1), receipt(1, by=SHOP)]
    log.append(both)
    log.append([receipt(2)])
    log.close()
    path = tmp_path / "receipts" / JOB / "receipts"
    path.write_bytes(path.read_bytes()[:-5])
    again = ReceiptLog(tmp_path, JOB)
    assert [one for one, _ in again.receipts()] == both
    assert again.open_receipts == 2
    again.append([receipt(3)])
    assert [one.first_serial for one, _ in again.receipts()] == [1, 1, 3]
    assert path.stat().st_mode & 0o777 == 0o600
    again.close()
    path.write_bytes(b"\x00\x03abc")
    with pytest.raises(ModelFormatError, match="damaged"):
        list(again.receipts())


def test_rows_count_once_however_many_answered() -> None:
    assert rows_of_receipts([receipt(1, 4), receipt(1, 4, SHOP), receipt(5)]) == 5


def test_a_full_anchor_does_not_part_the_receipts_of_a_round(
    tmp_path: Path, consortium: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts_module, "MAX_IN_ANCHOR", 3)
    anchorer = Anchorer(consortium, ME.address, tmp_path)
    for serial in range(0, 8, 2):
        anchorer.log_of(JOB).append([receipt(serial, 2), receipt(serial, 2, by=SHOP)])
    anchorer.anchor_now(JOB)
    assert [rows for _, rows in consortium.inference.roots] == [2, 2, 2, 2], "each serial is counted once"
    assert book(consortium, tmp_path).verify().anchored == 8
    anchorer.close()


def test_what_is_being_appended_waits_for_the_next_anchor(tmp_path: Path) -> None:
    log = ReceiptLog(tmp_path, JOB)
    log.append([receipt(0)])
    with (tmp_path / "receipts" / JOB / "receipts").open("ab") as file:  # the first of two of a round
        body = encode(receipt(1))
        file.write(len(body).to_bytes(2, "big") + body)
    anchor = log.begin(0)
    assert anchor is not None
    assert (anchor.receipts, anchor.rows) == (1, 1)
    log.close()


def test_looking_for_what_was_begun_reads_no_file(tmp_path: Path, consortium: Any) -> None:
    anchorer = Anchorer(consortium, ME.address, tmp_path)
    log = anchorer.log_of(JOB)
    log.anchors = None  # type: ignore[assignment]
    for serial in range(3):
        log.append([receipt(serial)])
        anchorer.anchor_now(JOB)
    assert len(consortium.inference.roots) == 3
    anchorer.close()


@pytest.mark.parametrize("fails", ["", "before", "after"])
def test_each_receipt_is_anchored_once_whatever_happens_on_the_way(tmp_path: Path, consortium: Any, fails: str) -> None:
    router = consortium.inference
    anchorer = Anchorer(consortium, ME.address, tmp_path)
    anchorer.log_of(JOB).append([receipt(1), receipt(1, by=SHOP)])
    router.fails = fails
    if fails:
        with pytest.raises(ChainError):
            anchorer.anchor_now(JOB)
        anchorer.log_of(JOB).append([receipt(2, 3)])  # meanwhile
        anchorer.close()
        anchorer = Anchorer(consortium, ME.address, tmp_path)  # another process
        router.fails = ""
    anchorer.anchor_now(JOB)
    anchorer.anchor_now(JOB)
    if not fails:
        anchorer.log_of(JOB).append([receipt(2, 3)])
        anchorer.anchor_now(JOB)
    assert [rows for _, rows in router.roots] == [1, 3]
    checked = book(consortium, tmp_path).verify()
    assert (checked.receipts, checked.anchored, checked.anchors, checked.rows) == (3, 3, 2, 4)
    assert [one.block for one in ReceiptFiles(tmp_path, JOB).anchors()] == [10, 11]
    anchorer.close()


def test_files_older_than_the_chain_go_on_after_its_anchors_and_the_loss_shows(tmp_path: Path, consortium: Any) -> None:
    router = consortium.inference
    anchorer = Anchorer(consortium, ME.address, tmp_path)
    anchorer.log_of(JOB).append([receipt(1)])
    router.fails = "before"
    with pytest.raises(ChainError):
        anchorer.anchor_now(JOB)  # the files know of anchor 0, which another copy of the node has mined otherwise
    router.fails, router.roots = "", [(bytes([7]) * 32, 5)]
    anchorer.anchor_now(JOB)
    assert [rows for _, rows in router.roots] == [5, 1]
    anchorer.close()
    with pytest.raises(AuditError, match="receipts were lost"):
        book(consortium, tmp_path).verify()


def test_the_thread_anchors_by_itself_also_what_an_earlier_process_left(tmp_path: Path, consortium: Any) -> None:
    keep(tmp_path, [receipt(1)])
    anchorer = Anchorer(consortium, ME.address, tmp_path, period_seconds=0.01)
    anchorer.start()
    log = anchorer.log_of(JOB)
    while log.open_receipts:
        pass
    anchorer.close()
    assert len(consortium.inference.roots) == 1


def test_a_receipt_s_place_under_its_anchor_is_proven(tmp_path: Path, consortium: Any) -> None:
    anchorer = Anchorer(consortium, ME.address, tmp_path)
    anchorer.log_of(JOB).append([receipt(number) for number in range(5)])
    anchorer.anchor_now(JOB)
    anchorer.log_of(JOB).append([receipt(9)])
    found = [one.as_dict() for one in book(consortium, tmp_path).standings(range(6))]
    for one in found[:5]:
        proof = ChunkProof(one["place"], one["leaves"], tuple(bytes.fromhex(node) for node in one["siblings"]))
        verify_leaf(consortium.inference.roots[0][0], bytes.fromhex(one["leaf"]), proof)
        assert (one["anchor"], one["block"], one["answerer"]) == (0, 10, "bank")
    assert (found[5]["anchor"], found[5]["siblings"]) == (None, None)
    with pytest.raises(UnknownJobError, match="asked nobody"):
        ReceiptBook(consortium, ReceiptFiles(tmp_path / "elsewhere", JOB), JOB, ME.address)
    anchorer.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("forged", "not signed by party 'bank'"),
        ("stranger", "no party of the job"),
        ("other job", "another job"),
        ("dropped", "changed or lost"),
        ("anchor dropped", "receipts were lost"),
        ("not on chain", "is not on the chain"),
        ("root", "another root"),
    ],
)
def test_what_was_changed_is_found(tmp_path: Path, consortium: Any, change: str, words: str) -> None:
    anchorer = Anchorer(consortium, ME.address, tmp_path)
    log = anchorer.log_of(JOB)
    receipts = [receipt(number) for number in range(4)]
    log.append(receipts[:2])
    anchorer.anchor_now(JOB)
    log.append(receipts[2:])
    anchorer.anchor_now(JOB)
    assert book(consortium, tmp_path).verify().anchored == 4
    folder = tmp_path / "receipts" / JOB
    anchorer.close()
    changed = {
        "forged": [*receipts, receipt(7, by=SHOP)],
        "stranger": [*receipts, receipt(7, by=Account.from_private_key(bytes([9]) * 32))],
        "other job": [*receipts, receipt(7)],
        "dropped": [receipts[0], receipts[2], receipts[3]],
    }.get(change, receipts)
    if change == "forged":
        fields = {name: getattr(changed[4], name) for name in changed[4].__struct_fields__}
        changed[4] = Receipt(**{**fields, "answerer": bytes.fromhex(BANK.address[2:])})
    if change == "other job":
        fields = {name: getattr(changed[4], name) for name in changed[4].__struct_fields__}
        changed[4] = Receipt(**{**fields, "job": bytes(32)})
    (folder / "receipts").unlink()
    anchors = (folder / "anchors").read_text().splitlines()
    (folder / "anchors").unlink()
    keep(tmp_path, changed)
    if change == "anchor dropped":
        anchors = anchors[:2]
    if change == "root":
        anchors = [json.dumps({**json.loads(line), "root": "00" * 32}) for line in anchors]
    (folder / "anchors").write_text("".join(line + "\n" for line in anchors))
    if change == "not on chain":
        consortium.inference.roots.pop()
    with pytest.raises(AuditError, match=words):
        book(consortium, tmp_path).verify()


def test_receipts_of_this_test_are_signed() -> None:
    one = receipt(1)
    assert recover_signer(receipt_digest(DOMAIN, one), one.signature) == BANK.address
    assert len(receipt_leaf(one)) == 32
