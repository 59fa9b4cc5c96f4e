"""A round at a passive requester: it asks the active party, which has the weights, and gets scores."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from fedchain.chain import recover_signer
from fedchain.errors import AskRefusedError, PeerError, ProtocolViolationError, ReceiptError
from fedchain.inference.asking import Flag
from fedchain.inference.bitplanes import Positions
from fedchain.inference.receipts import FRESH_MS, Domain, check_receipt
from fedchain.messages.online import Receipt, ScoreAnswer, ScoreAsk
from fedchain.node.online.activeround import TRIES
from fedchain.node.online.rowscores import RowScores
from fedchain.types import PartyId

if TYPE_CHECKING:
    from fedchain.node.online.rounds import Rounds

_RECEIPT_BYTES = 512


class PassiveRound:
    """Asks the active party for scores; arguments as of `Rounds.begin`."""

    def __init__(self, rounds: Rounds, positions: Positions, planes: bool, explained: bool, seconds: float) -> None:
        self._rounds, self._job = rounds, rounds.job
        self._positions, self._planes, self._explained, self._seconds = positions, planes, explained, seconds
        self._begin()

    def _begin(self) -> None:
        job, rows = self._job, len(self._positions)
        self._first = self._rounds.reservations.take(rows)
        fields = self._rounds.common(job.active, self._first, self._positions, self._planes)
        own = job.table.planes_at(self._positions).tobytes() if self._planes else job.table.rows_at(self._positions)
        per_row = 8 * job.outputs * (1 + len(job.addresses) * self._explained) + 1
        size = rows * per_row + 8 * job.outputs + _RECEIPT_BYTES * len(job.addresses)
        ask = ScoreAsk(**fields, bits=own, explain=self._explained)
        self._asked = self._rounds.send(job.active, ask, size, self._seconds)

    def finish(self) -> RowScores:
        """Wait for the answer; see `Rounds.begin`."""
        for tries in range(1, TRIES + 1):
            try:
                answer, receipt = self._rounds.answer_of(self._asked, ScoreAnswer)
            except AskRefusedError as refusal:
                self._rounds.renew([(self._job.active, refusal)], self._first, len(self._positions), tries)
                self._begin()
                continue
            self._rounds.receipts.append([receipt])
            try:
                self._check_others(answer)
                return self._scores(answer)
            except PeerError as error:
                self._rounds.blame(error)
                raise
        raise AssertionError("the last try raises")

    def _check_others(self, answer: ScoreAnswer) -> None:
        """The active party's receipts of the parties that it asked in its turn, for this requester's rows.

        Raises:
            ReceiptError: one does not hold, or is missing though nobody was silent; names the active party.
        """
        job, active = self._job, self._job.active
        names = {job.address_bytes(party): party for party in job.passive if party != job.me}
        now_ms = time.time_ns() // 1_000_000
        for receipt in answer.receipts:
            party = names.pop(receipt.answerer, None)
            if party is None or (receipt.job, receipt.requester) != (job.job_bytes, job.address_bytes(active)):
                raise ReceiptError(active, "passed on a receipt that has nothing to do with the ask")
            if receipt.rows < len(self._positions) or receipt.first_serial != answer.receipts[0].first_serial:
                raise ReceiptError(active, f"passed on a receipt of party '{party}' for other rows than were asked for")
            if abs(receipt.time_ms - now_ms) > FRESH_MS:
                raise ReceiptError(active, f"passed on a receipt of party '{party}' that is not of now")
            if not self._is_signed(receipt, party):
                raise ReceiptError(active, f"passed on a receipt that party '{party}' has not signed")
        if names and not any(flag & Flag.SILENT_PARTY for flag in answer.flags):
            missing = ", ".join(names.values())
            raise ReceiptError(active, f"passed on no receipt of {missing}, and says that nobody was silent")

    def _is_signed(self, receipt: Receipt, party: PartyId) -> bool:
        directory, address = self._rounds.exchange.directory, self._job.addresses[party]
        signer = directory.participant(address).signer
        if _holds(self._job.domain, receipt, party, signer):
            return True
        directory.forget(address)  # its key may have been rotated just now
        anew = directory.participant(address).signer
        return anew != signer and _holds(self._job.domain, receipt, party, anew)

    def _scores(self, answer: ScoreAnswer) -> RowScores:
        job, rows = self._job, len(self._positions)
        active, outputs = job.active, job.outputs
        if (answer.outputs, len(answer.scores), len(answer.flags)) != (outputs, 8 * outputs * rows, rows):
            raise ProtocolViolationError(active, "answered another number of scores than was asked for")
        scores = np.frombuffer(answer.scores, "<f8").astype(np.float64)
        flags = np.frombuffer(answer.flags, np.uint8).copy()
        if outputs > 1:
            scores = scores.reshape(rows, outputs)
        known = (flags & Flag.UNKNOWN_ID) == 0
        if not np.isfinite(scores[known]).all():
            raise ProtocolViolationError(active, "answered scores that are no numbers")
        if not self._explained:
            return RowScores(self._first, scores, flags)
        parties = len(job.addresses)
        if (len(answer.base), len(answer.contributions)) != (8 * outputs, 8 * outputs * parties * rows):
            raise ProtocolViolationError(active, "answered another number of contributions than was asked for")
        contributions = np.frombuffer(answer.contributions, "<f8").astype(np.float64).reshape(rows, parties, outputs)
        return RowScores(
            self._first, scores, flags, np.frombuffer(answer.base, "<f8").astype(np.float64), contributions
        )


def _holds(domain: Domain, receipt: Receipt, party: PartyId, signer: str) -> bool:
    try:
        check_receipt(domain, receipt, party, signer, recover_signer)
    except ReceiptError:
        return False
    return True
