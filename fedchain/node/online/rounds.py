"""One round of asking: everybody who has a say about some rows at once, and scores of what they answer.

At the active party every passive party is asked for its bits; a passive requester asks the active party for scores,
which asks the other passive parties in its turn. A round is begun and finished in two steps, so that the next one may
be under way meanwhile.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from fedchain.chain import recover_signer
from fedchain.errors import (
    AskRefusedError,
    DeadlineError,
    DeliveryError,
    MessageError,
    PeerError,
    ProtocolViolationError,
    ReceiptError,
)
from fedchain.exchange import Exchange
from fedchain.inference.bitplanes import Positions
from fedchain.inference.receipts import UNSIGNED, ask_digest, check_answer, sign_ask
from fedchain.messages.base import decode, encode
from fedchain.messages.online import Answer, Ask, Receipt, ScoreAnswer, ScoreAsk
from fedchain.node.online.activeround import TRIES, ActiveRound
from fedchain.node.online.job import EPOCH, OnlineJob
from fedchain.node.online.meter import Meter
from fedchain.node.online.passiveround import PassiveRound
from fedchain.node.online.receipts import ReceiptLog
from fedchain.node.online.refusals import BEGUN, SPENT, error_of
from fedchain.node.online.reserving import MOST, Serials
from fedchain.node.online.rowscores import Asked, RowScores
from fedchain.types import PartyId

log = structlog.get_logger(__name__)

ASK, SCORE_ASK, PREPARE = b"\x01", b"\x02", b"\x03"
"""The first byte of a question; to prepare a job, its id follows: it is about to be asked."""

A = TypeVar("A", Answer, ScoreAnswer)
_SLACK_BYTES = 1024


class Round(Protocol):
    """A round under way."""

    def finish(self) -> RowScores:
        """Wait for the answers, and score; see `Rounds.begin`."""


@dataclass
class Rounds:
    """One job's rounds at its requester; safe to use from several threads.

    Attributes:
        job: the job.
        exchange: this node's traffic.
        reservations: this party's serials.
        receipts: keeps what answers leave behind.
        meter: is told of answers that do not hold.
    """

    job: OnlineJob
    exchange: Exchange
    reservations: Serials
    receipts: ReceiptLog
    meter: Meter
    _silent_until: dict[PartyId, float] = field(default_factory=dict)

    def begin(
        self,
        positions: Positions,
        *,
        planes: bool = False,
        explained: bool = False,
        given: Mapping[PartyId, bytes] | None = None,
        flags: NDArray[np.uint8] | None = None,
        deadline_seconds: float | None = None,
    ) -> Round:
        """Reserve serials, and send the asks.

        Args:
            positions: (rows,) of this party's known rows; -1 for one that it does not hold. At most as many rows as one
                ask takes (`rows_within` of the widest party's bits).
            planes: which form bits are to have: leaf after leaf pays from some hundreds of rows on.
            explained: whether to explain the margins; not with planes.
            given: bits of parties that need not be asked: the requester's of a relayed ask.
            flags: of the rows; None for what this party's own alignment says.
            deadline_seconds: for the answers; None for the job's.

        Returns:
            The round. `finish` raises
            DeadlineError: a party did not answer in time, and the job says to refuse then; names it.
            PeerError: a party refuses, or its answer does not hold; names it.

        Raises:
            QuotaExceededError: no serials are left in this window.
            ChainError: serials cannot be reserved.
        """
        seconds = self.job.spec.inference.deadline_ms / 1000 if deadline_seconds is None else deadline_seconds
        if self.job.is_active:
            flags = self.job.asking.flags(positions) if flags is None else flags
            return ActiveRound(self, positions, flags, planes, explained, dict(given or {}), seconds)
        return PassiveRound(self, positions, planes, explained, seconds)

    # -- what both kinds need ---------------------------------------------------------------------------------------

    def send(self, party: PartyId, ask: Ask, answer_bytes: int, seconds: float) -> Asked:
        """Sign an ask and send it."""
        ask = sign_ask(self.job.domain, ask, self.exchange.consortium.sign_uplink)
        raw = (SCORE_ASK if isinstance(ask, ScoreAsk) else ASK) + encode(ask)
        peer = self.exchange.directory.look_up(self.job.addresses[party])
        wait = self.exchange.payloads.ask(
            peer, raw, answer_bytes=answer_bytes + _SLACK_BYTES, culprit=party, deadline_seconds=seconds
        )
        return Asked(party, ask, ask_digest(self.job.domain, ask), wait)

    def common(self, party: PartyId, first_serial: int, positions: Positions, planes: bool) -> dict[str, Any]:
        """Fields of an ask."""
        return {
            "job": self.job.job_bytes,
            "requester": self.job.address_bytes(self.job.me),
            "answerer": self.job.address_bytes(party),
            "epoch": EPOCH,
            "first_serial": first_serial,
            "tags": self.job.asking.tags(party, EPOCH, positions),
            "model": self.job.model,
            "nonce": os.urandom(16),
            "planes": planes,
            "signature": UNSIGNED,
        }

    def checked(self, asked: Asked, raw: bytes, kind: type[A]) -> tuple[A, Receipt]:
        """A party's answer and its receipt, which is checked; whoever asked keeps it, with those of its round.

        Raises:
            PeerError: the answer does not hold; names the party.
        """
        try:
            answer = decode(raw, kind)
        except MessageError as error:
            raise ProtocolViolationError(asked.party, f"answered something else: {error}") from error
        now_ms = time.time_ns() // 1_000_000
        address = self.job.addresses[asked.party]
        signer = self.exchange.directory.participant(address).signer
        check = (self.job.domain, asked.ask, asked.digest, answer, asked.party)
        try:
            receipt = check_answer(*check, signer, recover_signer, now_ms)
        except ReceiptError:
            self.exchange.directory.forget(address)  # its key may have been rotated just now
            anew = self.exchange.directory.participant(address).signer
            if anew == signer:
                raise
            receipt = check_answer(*check, anew, recover_signer, now_ms)
        return answer, receipt

    def answer_of(self, asked: Asked, kind: type[A]) -> tuple[A, Receipt]:
        """Wait for a party's answer.

        Raises:
            AskRefusedError, DeadlineError, DeliveryError, PeerError: see `PayloadClient.ask`, `checked`.
        """
        try:
            return self.checked(asked, asked.wait(), kind)
        except (DeadlineError, DeliveryError):
            self.exchange.directory.forget(self.job.addresses[asked.party])  # it may have moved
            raise
        except PeerError as error:
            self.blame(error)
            raise

    def blame(self, error: PeerError) -> None:
        """An answer does not hold: say whose."""
        log.error("an answer does not hold", job=self.job.job_id, party=error.culprit, error=str(error))
        self.meter.on_bad_answer(error.culprit)

    def renew(self, refusals: list[tuple[PartyId, AskRefusedError]], first: int, rows: int, tries: int) -> None:
        """After refusals: give up the serials that are not taken any more.

        Raises:
            PeerError: it cannot be mended so; names the party.
            ChainError: the reservations cannot be read.
        """
        for party, refusal in refusals:
            if refusal.code not in (BEGUN, SPENT) or tries >= TRIES:
                raise error_of(refusal, party) from refusal
            floor = first + rows
            if refusal.code == BEGUN:
                next_serial = self.reservations.next_on_chain()
                floor = min(refusal.number, next_serial)
                if refusal.number > next_serial + MOST:  # a reservation that is being mined aside
                    error = ProtocolViolationError(party, "refuses serials that were never reserved as begun")
                    self.blame(error)
                    raise error
            log.info("serials are reserved anew", job=self.job.job_id, party=party, reason=str(refusal))
            self.reservations.drop_below(floor)

    def is_silent(self, party: PartyId) -> bool:
        """Whether a party did not answer just now, and is not waited for again so soon."""
        return time.monotonic() < self._silent_until.get(party, 0.0)

    def note_silence(self, party: PartyId, seconds: float) -> None:
        """A party did not answer in time."""
        self._silent_until[party] = time.monotonic() + max(1.0, seconds)
