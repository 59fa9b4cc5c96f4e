"""Sends uplinks: recorded before the first send, byte-identical when sent again, done once the verdict is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

import structlog
from structlog.contextvars import bound_contextvars

from fedchain.chain import MAX_LEAVES, BatchLeaf, Consortium
from fedchain.compute.executor import chunks, default_executor
from fedchain.crypto.merkle import CHUNK_BYTES, leaf_hashes, payload_digest, root_of
from fedchain.errors import (
    NotAccreditedError,
    TrainingError,
    TransactionError,
    UplinkRejectedError,
)
from fedchain.exchange.bounds import Bounds, Counter
from fedchain.exchange.holding import Access
from fedchain.exchange.outages import through_outages
from fedchain.exchange.records import OutgoingSlot, OutgoingUplink
from fedchain.exchange.slot import describe
from fedchain.exchange.state import NodeState
from fedchain.exchange.store import PayloadStore
from fedchain.exchange.waits import Waits
from fedchain.messages import Envelope, Message, encode
from fedchain.types import INLINE_LIMIT, JobId, Kind, PartyId, Phase, Reason

log = structlog.get_logger(__name__)

RANDOMISED = frozenset(
    (Kind.GRADIENTS, Kind.HISTOGRAM, Kind.PARTITION, Kind.LEAF_WEIGHTS, Kind.PREDICT_ANSWER, Kind.AUDIT)
)
"""Kinds whose bytes differ each time they are made: ciphertexts, sealed payloads, salted commitments."""

_HASHED_BYTES = 16 * CHUNK_BYTES
"""A thread's share of a large payload, which nobody gets before it is hashed: whole chunks."""


@dataclass(frozen=True)
class Signed:
    """An uplink that its sender vouches for before its verdict.

    Attributes:
        envelope: names slot and digest.
        signature: 65 bytes, over the uplink's id.
        payload: the bytes.
        is_accepted: whether it was committed before a restart.
        went_ahead: whether its bytes were handed over before it was recorded; see `Publisher.prepare`.
    """

    envelope: Envelope
    signature: bytes
    payload: bytes
    is_accepted: bool = False
    went_ahead: bool = False


GoAhead = Callable[[Envelope, bytes, "Future[bytes]"], None]
"""Takes the bytes of an uplink before it is recorded: envelope, payload, and the signature that follows."""


class Publisher:
    """Turns messages into uplinks. Safe to use from several threads.

    Args:
        consortium: with a sender.
        address: the sender's address.
        name: this party's name, for errors.
        state: where uplinks are recorded before they are sent.
        outgoing: where payloads lie for the peers that do not travel inline.
        sign: the sender's signature under the id of an uplink that goes ahead of the chain.
        waits: the node's register, for outages of the chain.
    """

    def __init__(
        self,
        consortium: Consortium,
        *,
        address: str,
        name: PartyId,
        state: NodeState,
        outgoing: PayloadStore,
        sign: Callable[[bytes], bytes],
        waits: Waits | None = None,
    ) -> None:
        self._consortium = consortium
        self._address = address
        self._name = name
        self._state = state
        self._outgoing = outgoing
        self._sign = sign
        self._waits = waits
        self._rosters: dict[JobId, tuple[str, ...]] = {}
        self._counter = Counter(state)

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
        bounds: Bounds | None = None,
        before: Callable[[], None] = lambda: None,
    ) -> bytes:
        """Uplink a message and wait for its verdict. What it reveals is in the message's docstring.

        Where an earlier run of this party recorded an uplink in the slot, its bytes are what is sent, and nothing where
        the chain has judged them. Messages that follow from what a party remembers must be the very same.

        Args:
            message: what to send.
            job_id: the job.
            round: the round in force.
            attempt: the attempt in force.
            step: number within the round.
            recipient: checksummed address, None for the whole roster.
            statistic_e6: declared statistic.
            deadline: in `time.monotonic()` seconds, for outages of the RPC.
            bounds: the job's; None after its completion.
            before: called before each time that it is sent; what it raises keeps it from being sent.

        Returns:
            The id of the accepted uplink, 32 bytes.

        Raises:
            UplinkRejectedError: the contract rejected it.
            TrainingError: the slot already holds another digest of this node, of a message that has no randomness; or
                it is beyond the job's bounds. Nothing is sent.
            NotAccreditedError: this party may not send uplinks.
            ChainUnreachableError: the chain did not answer until the deadline.
        """
        slot = OutgoingSlot(job_id, round, attempt, step, message.kind, recipient or "")
        payload = encode(message)
        uplink = self._state.uplink(slot)
        was_recorded = uplink is not None
        if uplink is None:
            if bounds is not None:
                self._counter.require(slot, len(payload), bounds)
            uplink = self._record(payload, slot, statistic_e6)
        elif message.kind not in RANDOMISED:
            _require_same(uplink, payload, statistic_e6)
        envelope = envelope_of(uplink)
        uplink_id = self._consortium.uplink_id(self._address, envelope)
        inline = uplink.payload or b""

        def send() -> tuple[Reason, str]:
            before()
            return self._submit(envelope, inline)

        with bound_contextvars(uplink="0x" + uplink_id.hex()):
            reason, tx = through_outages(
                lambda: (self._judged(envelope) if was_recorded else None) or send(),
                lambda: self._judged(envelope),
                deadline,
                describe(envelope),
                waits=self._waits,
                job_id=job_id,
            )
            log.debug("uplink judged", what=describe(envelope), verdict=reason.name, size=envelope.size, transaction=tx)
        if reason != Reason.ACCEPTED:
            self._state.settle(uplink, f"rejected: {reason.name}", tx)
            raise UplinkRejectedError(self._name, describe(envelope), reason.name)
        self._state.settle(uplink, "accepted", tx)
        return uplink_id

    def prepare(
        self,
        message: Message,
        *,
        job_id: JobId,
        round: int,
        attempt: int,
        step: int,
        recipient: str | None,
        bounds: Bounds,
        go_ahead: GoAhead | None = None,
    ) -> Signed:
        """Record an uplink of a pipelined round, to be delivered directly now and committed with its round.

        Args:
            message, job_id, round, attempt, step, recipient: as for `publish`.
            bounds: the job's: what is beyond them would be judged too late for whoever has acted on it.
            go_ahead: called with a large uplink that is new, before it is recorded: its bytes may go to its recipients
                meanwhile, who can do nothing with them before they have the signature. That is there once all is
                recorded and on the disk; where it cannot be recorded, the future ends with the error.

        Raises:
            TrainingError: as for `publish`.
        """
        slot = OutgoingSlot(job_id, round, attempt, step, message.kind, recipient or "")
        payload = encode(message)
        uplink = self._state.uplink(slot)
        if uplink is None:
            self._counter.require(slot, len(payload), bounds)
        if uplink is None and go_ahead is not None and len(payload) > INLINE_LIMIT:
            return self._prepare_ahead(payload, slot, go_ahead)
        if uplink is None:
            uplink = self._record(payload, slot, 0)
        elif message.kind in RANDOMISED:
            payload = self._outgoing.get(uplink.digest) if uplink.payload is None else uplink.payload
        else:
            _require_same(uplink, payload, 0)
        envelope = envelope_of(uplink)
        uplink_id = self._consortium.uplink_id(self._address, envelope)
        return Signed(envelope, self._sign(uplink_id), payload, uplink.status == "accepted")

    def _prepare_ahead(self, payload: bytes, slot: OutgoingSlot, go_ahead: GoAhead) -> Signed:
        view = memoryview(payload)
        pieces = [view[cut] for cut in chunks(len(payload), _HASHED_BYTES)]
        leaves = [leaf for piece in default_executor().map(leaf_hashes, pieces) for leaf in piece]
        envelope = envelope_of(slot.holding(root_of(leaves), len(payload), 0, None))
        promise = Future[bytes]()
        go_ahead(envelope, payload, promise)
        try:
            self._record(payload, slot, 0, leaves)
            signature = self._sign(self._consortium.uplink_id(self._address, envelope))
        except BaseException as error:
            promise.set_exception(error)
            raise
        promise.set_result(signature)
        return Signed(envelope, signature, payload, went_ahead=True)

    def commit(
        self,
        job_id: JobId,
        round: int,
        attempt: int,
        deadline: float,
        *,
        resumed: bool = False,
        before: Callable[[], None] = lambda: None,
    ) -> list[OutgoingUplink]:
        """Commit all uplinks of a pipelined round, in batches of one transaction each.

        Args:
            job_id, round, attempt: which.
            deadline: in `time.monotonic()` seconds, for outages of the RPC.
            resumed: whether an earlier process may have done it: what the chain has judged is not sent again.
            before: as for `publish`.

        Returns:
            The uplinks, all accepted.

        Raises:
            UplinkRejectedError: the contract rejected one of them.
            NotAccreditedError, ChainUnreachableError: as for `publish`.
        """
        uplinks = [one for one in self._state.uplinks(job_id, round) if one.attempt == attempt]
        open_ones = [one for one in uplinks if one.status != "accepted"]
        for start in range(0, len(open_ones), MAX_LEAVES):
            self._commit(job_id, open_ones[start : start + MAX_LEAVES], deadline, resumed, before)
        return uplinks

    def _commit(
        self, job_id: JobId, uplinks: list[OutgoingUplink], deadline: float, resumed: bool, in_time: Callable[[], None]
    ) -> None:
        round, attempt = uplinks[0].round, uplinks[0].attempt
        envelopes = [envelope_of(one) for one in uplinks]
        leaves = [BatchLeaf(one.step, one.kind, one.recipient, one.digest, one.size) for one in envelopes]
        ids = [self._consortium.uplink_id(self._address, one) for one in envelopes]

        def submit() -> tuple[str, dict[bytes, Reason]]:
            before = judged_already() if resumed else None
            if before is not None:
                return before
            in_time()
            receipt, judged = self._consortium.submit_batch(job_id, round, attempt, leaves)
            return "0x" + receipt.tx_hash.hex(), {one.uplink_id: Reason(one.reason) for one in judged}

        def judged_already() -> tuple[str, dict[bytes, Reason]] | None:
            """A batch is judged as a whole; what was rejected would be another strike."""
            found = [self._consortium.verdict(self._address, one) for one in envelopes]
            if not all(one.known for one in found):
                return None
            return "", {uplink_id: Reason(one.reason) for uplink_id, one in zip(ids, found, strict=True)}

        what = f"committing round {round}, attempt {attempt}"
        tx, verdicts = through_outages(submit, judged_already, deadline, what, waits=self._waits, job_id=job_id)
        rejected = None
        for uplink, envelope, uplink_id in zip(uplinks, envelopes, ids, strict=True):
            reason = verdicts.get(uplink_id)
            if reason is None:  # it was accepted before
                verdict = through_outages(
                    partial(self._consortium.verdict, self._address, envelope),
                    lambda: None,
                    deadline,
                    "looking at a verdict",
                    waits=self._waits,
                    job_id=job_id,
                )
                if not verdict.known:
                    continue  # the chain took the transaction back: whoever waits for the verdict finds out
                reason = Reason(verdict.reason)
            log.debug("uplink judged", what=describe(envelope), verdict=reason.name, uplink="0x" + uplink_id.hex())
            if reason == Reason.ACCEPTED:
                self._state.settle(uplink, "accepted", tx)
            else:
                self._state.settle(uplink, f"rejected: {reason.name}", tx)
                rejected = rejected or UplinkRejectedError(self._name, describe(envelope), reason.name)
        if rejected is not None:
            raise rejected

    def reassert(self, job_id: JobId) -> None:
        """After a reorganisation: send again what was accepted in the round in force and is not on the chain now.

        Raises:
            ChainError: the chain does not answer, or refuses.
        """
        job = self._consortium.job(job_id)
        if (job.round == 0) != (job.phase is Phase.ALIGNING):
            return  # no uplink is due: the round is not begun again yet, or there is none before the next phase
        first = max(1, job.round - 1) if job.policy.pipelined and job.phase is Phase.TRAINING else job.round
        sent = [one for round in range(first, job.round + 1) for one in self._state.uplinks(job_id, round)]
        for uplink in sent:
            if uplink.status != "accepted" or uplink.attempt != job.attempt:
                continue  # whoever sends it is at it; or its attempt is over
            envelope = envelope_of(uplink)
            if self._judged(envelope) is None:
                log.warning("sending again what the chain forgot", what=describe(envelope))
                self._submit(envelope, uplink.payload or b"")

    def _record(
        self, payload: bytes, slot: OutgoingSlot, statistic_e6: int, leaves: Sequence[bytes] | None = None
    ) -> OutgoingUplink:
        inline = len(payload) <= INLINE_LIMIT
        if inline:
            digest = payload_digest(payload)
        else:
            recipients = (slot.recipient,) if slot.recipient else self._roster(slot.job_id)
            went_ahead = leaves is not None  # then hardly anybody will ask for it
            digest = self._outgoing.put(payload, Access(slot.job_id, recipients), leaves=leaves, cached=not went_ahead)
        uplink = self._state.prepare(slot.holding(digest, len(payload), statistic_e6, payload if inline else None))
        self._counter.add(slot)
        return uplink

    def set_roster(self, job_id: JobId, roster: tuple[str, ...]) -> None:
        """Tell who is on a job's roster, addresses: so that nothing has to be asked of the chain while it is away."""
        self._rosters[job_id] = roster

    def _roster(self, job_id: JobId) -> tuple[str, ...]:
        """Who may fetch what goes to everybody in a job; a job's roster never changes."""
        if job_id not in self._rosters:
            self._rosters[job_id] = self._consortium.job(job_id).roster
        return self._rosters[job_id]

    def _submit(self, envelope: Envelope, payload: bytes) -> tuple[Reason, str]:
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
        return self._consortium.verdict(self._address, envelope).reason, tx

    def _judged(self, envelope: Envelope) -> tuple[Reason, str] | None:
        verdict = self._consortium.verdict(self._address, envelope)
        return (Reason(verdict.reason), "") if verdict.known else None


def envelope_of(uplink: OutgoingUplink) -> Envelope:
    """What goes on chain of a recorded uplink."""
    return Envelope(
        job_id=bytes.fromhex(uplink.job_id[2:]),
        round=uplink.round,
        attempt=uplink.attempt,
        step=uplink.step,
        kind=uplink.kind,
        recipient=bytes.fromhex(uplink.recipient[2:]) if uplink.recipient else bytes(20),
        digest=uplink.digest,
        size=uplink.size,
        statistic_e6=uplink.statistic_e6,
    )


def _require_same(recorded: OutgoingUplink, payload: bytes, statistic_e6: int) -> None:
    """What a party sends without randomness does not change over a restart."""
    if (recorded.digest, recorded.statistic_e6) != (payload_digest(payload), statistic_e6):
        raise TrainingError(
            f"round {recorded.round} step {recorded.step}: this node has already committed to another "
            f"{recorded.kind.name.lower()} in that slot; it does not show two digests for one slot"
        )
