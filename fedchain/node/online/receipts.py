"""The receipts that this node holds as a requester, one folder per job, and which of them are anchored on the chain.

`receipts` holds one receipt after the other, each behind its length; `anchors` a line of JSON for each anchor, once
before it is sent and once when it is mined. A receipt says who answered whom, when, and for how many rows; no id.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, takewhile
from pathlib import Path

from fedchain.crypto.merkle import root_of
from fedchain.errors import MessageError, ModelFormatError
from fedchain.inference.receipts import receipt_leaf
from fedchain.messages.base import decode, encode
from fedchain.messages.online import Receipt
from fedchain.types import JobId

FOLDER = "receipts"
MAX_IN_ANCHOR = 2**16
_LENGTH_BYTES = 2
_MAX_RECEIPT_BYTES = 4096


@dataclass(frozen=True)
class Anchored:
    """Receipts whose root is, or is about to be, on the chain.

    Attributes:
        index: the anchor's number, from 0 per job and requester.
        first: number of the first receipt, from 0 in the file.
        receipts: how many.
        end: where they end in the file, bytes.
        root: of their Merkle tree, hex.
        rows: serials that they are about.
        block: in which it was mined; None before.
    """

    index: int
    first: int
    receipts: int
    end: int
    root: str
    rows: int
    block: int | None = None


def root_of_receipts(receipts: Sequence[Receipt]) -> bytes:
    """The Merkle root that is anchored for them."""
    return root_of([receipt_leaf(one) for one in receipts])


def rows_of_receipts(receipts: Sequence[Receipt]) -> int:
    """Serials that they are about: several parties answer for the same ones."""
    return sum({one.first_serial: one.rows for one in receipts}.values())


class ReceiptFiles:
    """Reads one job's receipts; the node may be writing meanwhile.

    Args:
        state_folder: the node's.
        job_id: the job.
    """

    def __init__(self, state_folder: Path, job_id: JobId) -> None:
        self.folder = state_folder / FOLDER / job_id

    @property
    def exist(self) -> bool:
        """Whether this node ever held one."""
        return (self.folder / "receipts").is_file()

    def receipts(self, offset: int = 0) -> Iterator[tuple[Receipt, int]]:
        """Each receipt and where it ends in the file; what a crash left half written at the end is passed over.

        Raises:
            ModelFormatError: the file is damaged.
        """
        path = self.folder / "receipts"
        if not path.is_file():
            return
        with path.open("rb") as file:
            file.seek(offset)
            while True:
                head = file.read(_LENGTH_BYTES)
                raw = file.read(int.from_bytes(head, "big")) if len(head) == _LENGTH_BYTES else b""
                if not raw or len(raw) < int.from_bytes(head, "big"):
                    return
                try:
                    yield decode(raw, Receipt), file.tell()
                except MessageError as error:
                    raise ModelFormatError(f"{path}: damaged before byte {file.tell()}: {error}") from error

    def anchors(self) -> list[Anchored]:
        """By their index; the last line of each counts.

        Raises:
            ModelFormatError: the file is damaged.
        """
        path = self.folder / "anchors"
        found: dict[int, Anchored] = {}
        for number, line in enumerate(path.read_bytes().split(b"\n")[:-1] if path.is_file() else (), start=1):
            try:
                one = Anchored(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise ModelFormatError(f"{path}: line {number} is damaged") from error
            found[one.index] = one
        return [found[index] for index in sorted(found)]


class ReceiptLog(ReceiptFiles):
    """Appends receipts; safe to use from several threads, by one process at a time.

    What was appended is there after the process is killed; `sync` makes it safe from a power failure, too.
    """

    def __init__(self, state_folder: Path, job_id: JobId) -> None:
        super().__init__(state_folder, job_id)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        anchors = self.anchors()
        known = [one for one in anchors if one.block is not None]
        self._anchored = known[-1] if known else None
        self._begun = anchors[-1] if anchors and anchors[-1].block is None else None
        start, number = (0, 0) if self._anchored is None else (self._anchored.end, self._next(self._anchored))
        ends = [end for _, end in self.receipts(start)]
        end = ends[-1] if ends else start
        self._number, self._end = number + len(ends), end
        descriptor = os.open(self.folder / "receipts", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(descriptor, end)  # what a crash left half written
        os.lseek(descriptor, end, os.SEEK_SET)
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._is_dirty = False

    @staticmethod
    def _next(anchor: Anchored) -> int:
        return anchor.first + anchor.receipts

    def append(self, receipts: Sequence[Receipt]) -> None:
        """Keep receipts; they are in the operating system's hands when this returns.

        Those of one round come in one call: the chain counts its serials once, so they belong under one anchor.
        """
        raw = b""
        for one in receipts:
            body = encode(one)
            assert len(body) <= _MAX_RECEIPT_BYTES
            raw += len(body).to_bytes(_LENGTH_BYTES, "big") + body
        with self._lock:
            self._file.write(raw)
            self._end += len(raw)
            self._number += len(receipts)
            self._is_dirty = True

    def sync(self) -> None:
        """Wait until the disk has all that was appended."""
        with self._lock:
            if not self._is_dirty:
                return
            self._is_dirty = False
        os.fsync(self._file.fileno())

    @property
    def open_receipts(self) -> int:
        """How many are not anchored."""
        with self._lock:
            return self._number - (0 if self._anchored is None else self._next(self._anchored))

    def begun(self) -> Anchored | None:
        """An anchor that an earlier process, or an earlier try, was sending."""
        return self._begun

    def begin(self, index: int) -> Anchored | None:
        """Note, before it is sent, what the next anchor is of; None where nothing is open."""
        offset, first = (0, 0) if self._anchored is None else (self._anchored.end, self._next(self._anchored))
        with self._lock:
            last = self._end  # what is being appended now may be half there
        whole = takewhile(lambda one: one[1] <= last, self.receipts(offset))
        found = _whole_rounds(list(islice(whole, MAX_IN_ANCHOR + 1)))
        if not found:
            return None
        chosen, end = [receipt for receipt, _ in found], found[-1][1]
        self.sync()
        root = root_of_receipts(chosen).hex()
        anchor = Anchored(index, first, len(chosen), end, root, rows_of_receipts(chosen))
        self._note(anchor)
        self._begun = anchor
        return anchor

    def finish(self, anchor: Anchored, block: int) -> None:
        """It is on the chain."""
        done = Anchored(**{**asdict(anchor), "block": block})
        self._note(done)
        with self._lock:
            self._anchored, self._begun = done, None

    def close(self) -> None:
        """Write to the disk and close."""
        self.sync()
        self._file.close()

    def _note(self, anchor: Anchored) -> None:
        descriptor = os.open(self.folder / "anchors", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(asdict(anchor)).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _whole_rounds(found: list[tuple[Receipt, int]]) -> list[tuple[Receipt, int]]:
    """At most `MAX_IN_ANCHOR` of them, and the receipts of a round with each other: its serials count once."""
    if len(found) <= MAX_IN_ANCHOR:
        return found
    serial, kept = found[-1][0].first_serial, found[:-1]
    while kept and kept[-1][0].first_serial == serial:
        kept.pop()
    return kept or found[:-1]
