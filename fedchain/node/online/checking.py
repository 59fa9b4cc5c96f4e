"""What a requester can show for its requests: receipts, held against the answerers' keys and the chain's anchors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fedchain.chain import recover_signer
from fedchain.crypto.merkle import ChunkProof, prove_leaf, root_of
from fedchain.errors import AuditError, CryptoError, UnknownJobError
from fedchain.inference.receipts import receipt_digest, receipt_leaf
from fedchain.messages.base import encode
from fedchain.messages.online import Receipt
from fedchain.node.online.job import domain_of
from fedchain.node.online.receipts import Anchored, ReceiptFiles
from fedchain.types import JobId

if TYPE_CHECKING:
    from fedchain.chain import Consortium

_WHOLE_CHECK = 2**12


@dataclass(frozen=True)
class Standing:
    """One receipt, and the anchor that it is under; None while there is none.

    Attributes:
        number: from 0.
        receipt: as the answerer signed it.
        answerer: its name.
        anchor: the anchor.
        proof: that the receipt is under the anchor's root (`fedchain.crypto.merkle.verify_leaf`).
    """

    number: int
    receipt: Receipt
    answerer: str
    anchor: Anchored | None
    proof: ChunkProof | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        one = self.receipt
        return {
            "number": self.number,
            "answerer": self.answerer,
            "first_serial": one.first_serial,
            "rows": one.rows,
            "time_ms": one.time_ms,
            "ask": one.ask.hex(),
            "content": one.content.hex(),
            "signature": one.signature.hex(),
            "leaf": receipt_leaf(one).hex(),
            "receipt": encode(one).hex(),
            "anchor": None if self.anchor is None or self.anchor.block is None else self.anchor.index,
            "root": None if self.anchor is None else self.anchor.root,
            "block": None if self.anchor is None else self.anchor.block,
            "place": None if self.proof is None else self.proof.index,
            "leaves": None if self.proof is None else self.proof.chunk_count,
            "siblings": None if self.proof is None else [one.hex() for one in self.proof.siblings],
        }


@dataclass(frozen=True)
class Checked:
    """What was held against each other, and fits.

    Attributes:
        receipts: whose signatures hold.
        anchored: how many of them are under an anchor that is on the chain.
        anchors: on the chain, with the roots of these receipts.
        rows: serials that the anchors are about.
    """

    receipts: int
    anchored: int
    anchors: int
    rows: int

    def as_dict(self) -> dict[str, int]:
        """For JSON."""
        return vars(self).copy()


class ReceiptBook:
    """One job's receipts at a requester, read from its files.

    Args:
        consortium: for reading.
        files: of the node.
        job_id: the job.
        address: the requester's.

    Raises:
        UnknownJobError: this node holds no receipt of that job.
        ModelFormatError: a file is damaged.
    """

    def __init__(self, consortium: Consortium, files: ReceiptFiles, job_id: JobId, address: str) -> None:
        if not files.exist:
            raise UnknownJobError(f"this node holds no receipts of job {job_id}: it has asked nobody by id")
        self._consortium, self._job_id, self._address = consortium, job_id, address
        self.anchors = files.anchors()
        self._receipts = [receipt for receipt, _ in files.receipts()]
        self._domain = domain_of(consortium)
        self._roster = {bytes.fromhex(one[2:]): one for one in consortium.job(job_id).roster}
        self._names: Callable[[str], str] = lru_cache(lambda one: consortium.participant(one).name or one)
        self._is_key: Callable[[str, str], bool] = lru_cache(maxsize=_WHOLE_CHECK)(consortium.is_key_of)

    def __len__(self) -> int:
        """How many receipts."""
        return len(self._receipts)

    def standings(self, numbers: Sequence[int]) -> list[Standing]:
        """Some receipts by their numbers, from 0."""
        found = []
        for number in numbers:
            receipt = self._receipts[number]
            under = [one for one in self.anchors if one.first <= number < one.first + one.receipts]
            address = self._roster.get(receipt.answerer, "0x" + receipt.answerer.hex())
            anchor, proof = (under[0], self._proof(number, under[0])) if under else (None, None)
            found.append(Standing(number, receipt, self._names(address), anchor, proof))
        return found

    def _proof(self, number: int, anchor: Anchored) -> ChunkProof:
        part = self._receipts[anchor.first : anchor.first + anchor.receipts]
        return prove_leaf([receipt_leaf(one) for one in part], number - anchor.first)

    def verify(self) -> Checked:
        """Check every signature, every root, and every anchor.

        Raises:
            AuditError: something does not fit; names the first such receipt or anchor.
            ChainError: the chain cannot be read.
        """
        for number, receipt in enumerate(self._receipts):
            self._verify_receipt(number, receipt)
        router, rows, anchored, next_receipt, mined = self._consortium.inference, 0, 0, 0, 0
        for anchor in self.anchors:
            part = self._receipts[anchor.first : anchor.first + anchor.receipts]
            if anchor.block is None and not router.is_anchored(
                self._job_id, self._address, anchor.index, bytes.fromhex(anchor.root)
            ):
                continue  # it is about to be sent, or never was
            if (anchor.first, len(part)) != (next_receipt, anchor.receipts) or not part:
                raise AuditError(f"anchor {anchor.index} is not of the receipts that follow those of the one before")
            next_receipt += anchor.receipts
            root = root_of([receipt_leaf(one) for one in part])
            if root.hex() != anchor.root:
                raise AuditError(f"anchor {anchor.index} has another root than its receipts: one was changed or lost")
            if not router.is_anchored(self._job_id, self._address, anchor.index, root):
                raise AuditError(f"anchor {anchor.index} is not on the chain")
            mined, rows, anchored = mined + 1, rows + anchor.rows, anchored + anchor.receipts
        count, serials = router.anchored(self._job_id, self._address)
        if (count, serials) != (mined, rows):
            raise AuditError(
                f"the chain has {count} anchors of {serials} rows of this party, its files {mined} of {rows}: "
                "receipts were lost"
            )
        return Checked(len(self._receipts), anchored, mined, rows)

    def _verify_receipt(self, number: int, receipt: Receipt) -> None:
        what = f"receipt {number}"
        if "0x" + receipt.job.hex() != self._job_id or receipt.requester.hex() != self._address[2:].lower():
            raise AuditError(f"{what} is another job's or another requester's")
        answerer = self._roster.get(receipt.answerer)
        if answerer is None:
            raise AuditError(f"{what} is of 0x{receipt.answerer.hex()}, who is no party of the job")
        try:
            signer = recover_signer(receipt_digest(self._domain, receipt), receipt.signature)
        except CryptoError as error:
            raise AuditError(f"{what} of party '{self._names(answerer)}': {error}") from error
        if not self._is_key(answerer, signer):
            raise AuditError(f"{what} was not signed by party '{self._names(answerer)}'")
