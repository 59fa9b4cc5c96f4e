"""Sends uplinks: recorded before the first send, byte-identical when sent again, done once the verdict is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from fedchain.chain import Consortium
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import ChainUnreachableError, NotAccreditedError, TransactionError, UplinkRejectedError
from fedchain.exchange.records import OutgoingUplink
from fedchain.exchange.slot import describe
from fedchain.exchange.state import NodeState
from fedchain.exchange.store import PayloadStore
from fedchain.messages import Envelope, Message, encode
from fedchain.types import INLINE_LIMIT, JobId, PartyId, Reason

log = structlog.get_logger(__name__)

T = TypeVar("T")
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


def through_outages(act: Callable[[], T], done: Callable[[], T | None], deadline: float, what: str) -> T:
    """Do `act`, again after each RPC outage unless `done` says that an earlier try arrived after all.

    Args:
        act: sends a transaction; raises ChainUnreachableError when nothing answers.
        done: reads the chain: what `act` would have returned, or None if it has not happened.
        deadline: in `time.monotonic()` seconds.
        what: for the log.

    Raises:
        ChainUnreachableError: still nothing answers at the deadline.
    """
    pause = _FIRST_PAUSE_SECONDS
    failed = False
    while True:
        try:
            if failed:
                result = done()
                if result is not None:
                    return result
            return act()
        except ChainUnreachableError as error:
            failed = True
            if time.monotonic() + pause >= deadline:
                raise
            log.warning("chain does not answer, trying again", doing=what, error=str(error))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


class Publisher:
    """Turns messages into uplinks. Safe to use from several threads.

    Args:
        consortium: with a sender.
        address: the sender's address.
        name: this party's name, for errors.
        state: where uplinks are recorded before they are sent.
        outgoing: where payloads above `INLINE_LIMIT` lie for the peers.
    """

    def __init__(
        self, consortium: Consortium, *, address: str, name: PartyId, state: NodeState, outgoing: PayloadStore
    ) -> None:
        self._consortium = consortium
        self._address = address
        self._name = name
        self._state = state
        self._outgoing = outgoing

    def publish(
        self,
        message: Message,
        *,
        job_id: JobId,
        round: int,
        attempt: int,
        step: int,
        recipient: str | None,
        statistic_e6: int,
        deadline: float,
    ) -> bytes:
        """Uplink a message and wait for its verdict. What it reveals is in the message's docstring.

        Args:
            message: what to send.
            job_id: the job.
            round: the round in force.
            attempt: the attempt in force.
            step: number within the round.
            recipient: checksummed address, None for the whole roster.
            statistic_e6: declared statistic.
            deadline: in `time.monotonic()` seconds, for outages of the RPC.

        Returns:
            The id of the accepted uplink, 32 bytes.

        Raises:
            UplinkRejectedError: the contract rejected it.
            TrainingError: the slot already holds another digest of this node.
            NotAccreditedError: this party may not send uplinks.
            ChainUnreachableError: the chain did not answer until the deadline.
        """
        payload = encode(message)
        uplink = self._record(payload, message, job_id, round, attempt, step, recipient, statistic_e6)
        envelope = Envelope(
            job_id=bytes.fromhex(job_id[2:]),
            round=round,
            attempt=attempt,
            step=step,
            kind=uplink.kind,
            recipient=bytes.fromhex(recipient[2:]) if recipient else bytes(20),
            digest=uplink.digest,
            size=uplink.size,
            statistic_e6=statistic_e6,
        )
        uplink_id = self._consortium.uplink_id(self._address, envelope)
        reason, tx = through_outages(
            lambda: self._submit(envelope, uplink.payload or b"", uplink_id),
            lambda: self._judged(uplink_id),
            deadline,
            describe(envelope),
        )
        if reason != Reason.ACCEPTED:
            self._state.settle(uplink, f"rejected: {reason.name}", tx)
            raise UplinkRejectedError(self._name, describe(envelope), reason.name)
        self._state.settle(uplink, "accepted", tx)
        return uplink_id

    def _record(
        self,
        payload: bytes,
        message: Message,
        job_id: JobId,
        round: int,
        attempt: int,
        step: int,
        recipient: str | None,
        statistic_e6: int,
    ) -> OutgoingUplink:
        inline = len(payload) <= INLINE_LIMIT
        digest = payload_digest(payload) if inline else self._outgoing.put(payload)
        return self._state.prepare(
            OutgoingUplink(
                job_id=job_id,
                round=round,
                attempt=attempt,
                step=step,
                kind=message.kind,
                recipient=recipient or "",
                digest=digest,
                size=len(payload),
                statistic_e6=statistic_e6,
                payload=payload if inline else None,
            )
        )

    def _submit(self, envelope: Envelope, payload: bytes, uplink_id: bytes) -> tuple[Reason, str]:
        try:
            receipt, judged = self._consortium.submit(envelope, payload)
        except TransactionError as error:
            if "CallerNotAccredited" in error.reason:
                raise NotAccreditedError(
                    f"party '{self._name}' ({self._address}) is not accredited; ask a steward to accredit it"
                ) from error
            raise
        tx = "0x" + receipt.tx_hash.hex()
        if judged is not None:
            return Reason(judged.reason), tx
        return Reason(self._consortium.verdict(uplink_id).reason), tx

    def _judged(self, uplink_id: bytes) -> tuple[Reason, str] | None:
        verdict = self._consortium.verdict(uplink_id)
        return (Reason(verdict.reason), "") if verdict.known else None
