"""Anchors receipts on the chain: a Merkle root for those of one block's time, in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from fedchain.errors import ChainError, FedchainError, TransactionError
from fedchain.node.online.receipts import FOLDER, Anchored, ReceiptLog
from fedchain.types import JobId

if TYPE_CHECKING:
    from fedchain.chain import Consortium

log = structlog.get_logger(__name__)

PERIOD_SECONDS = 1.0
"""Between looks; a transaction takes a block besides."""


class Anchorer:
    """This node's receipts, all jobs'. Reading the chain begins with `start`.

    Args:
        consortium: with this node's sender.
        address: this party's.
        state_folder: the node's.
        period_seconds: between looks.
    """

    def __init__(
        self, consortium: Consortium, address: str, state_folder: Path, *, period_seconds: float = PERIOD_SECONDS
    ) -> None:
        self._consortium, self._address = consortium, address
        self._folder = state_folder
        self._period_seconds = period_seconds
        self._lock = threading.Lock()
        self._working = threading.Lock()
        self._logs: dict[JobId, ReceiptLog] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="anchor", daemon=True)

    def start(self) -> None:
        """Begin; what an earlier process left is anchored first."""
        folder = self._folder / FOLDER
        for path in sorted(folder.glob("0x*")) if folder.is_dir() else ():
            try:
                self.log_of(JobId(path.name))
            except FedchainError as error:
                log.error("receipts of an earlier process cannot be read", job=path.name, error=str(error))
        self._thread.start()

    def log_of(self, job_id: JobId) -> ReceiptLog:
        """A job's receipts."""
        with self._lock:
            found = self._logs.get(job_id)
            if found is None:
                found = self._logs[job_id] = ReceiptLog(self._folder, job_id)
            return found

    def anchor_now(self, job_id: JobId) -> None:
        """Anchor what is open of a job.

        Raises:
            ChainError: it cannot be anchored now.
        """
        receipts = self.log_of(job_id)
        with self._working:
            self._settle_begun(job_id, receipts)
            while receipts.open_receipts and not self._stop.is_set():
                count, _ = self._consortium.inference.anchored(job_id, self._address)
                anchor = receipts.begin(count)
                if anchor is None:
                    return
                self._send(job_id, receipts, anchor)

    def close(self) -> None:
        """Stop; what is open is anchored by the next process of this node."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(5.0)
        with self._lock:
            logs, self._logs = list(self._logs.values()), {}
        for one in logs:
            with contextlib.suppress(OSError):
                one.close()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stop.wait(self._period_seconds):
            with self._lock:
                logs = list(self._logs.items())
            for job_id, receipts in logs:
                try:
                    receipts.sync()
                    if receipts.open_receipts and not self._stop.is_set():
                        self.anchor_now(job_id)
                except FedchainError as error:
                    log.warning("receipts could not be anchored, trying again", job=job_id, error=str(error))
                except Exception as error:
                    log.error("anchoring failed", job=job_id, error=str(error), exc_info=True)

    def _settle_begun(self, job_id: JobId, receipts: ReceiptLog) -> None:
        """An anchor that was being sent is on the chain, or is sent again."""
        begun = receipts.begun()
        if begun is None:
            return
        router = self._consortium.inference
        if router.is_anchored(job_id, self._address, begun.index, bytes.fromhex(begun.root)):
            receipts.finish(begun, self._block_of(job_id, begun))
            return
        count, _ = router.anchored(job_id, self._address)
        if count != begun.index:  # these files are older than the chain: a restored node's
            log.warning(
                "anchors were lost, going on after those of the chain", job=job_id, files=begun.index, chain=count
            )
            again = receipts.begin(count)
            assert again is not None, "what was begun is open"
            begun = again
        self._send(job_id, receipts, begun)

    def _send(self, job_id: JobId, receipts: ReceiptLog, anchor: Anchored) -> None:
        try:
            done = self._consortium.inference.anchor(job_id, bytes.fromhex(anchor.root), anchor.rows)
        except TransactionError as error:
            raise ChainError(f"the contract refuses an anchor of {anchor.rows} rows: {error.reason}") from error
        receipts.finish(anchor, done.block_number)
        log.info("receipts anchored", job=job_id, index=anchor.index, receipts=anchor.receipts, block=done.block_number)

    def _block_of(self, job_id: JobId, anchor: Anchored) -> int:
        for one in self._consortium.inference.anchors(job_id, self._address, 0):
            if one.index == anchor.index:
                return one.block_number
        return 0
