"""Takes signed uplinks of pipelined rounds from their senders: checked, recorded, then brought to their job's inbox."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

import structlog

from fedchain.chain import Consortium, recover_signer
from fedchain.crypto.merkle import root_of
from fedchain.errors import CryptoError, ProtocolViolationError, TrainingError
from fedchain.exchange.directory import Directory
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.incoming import IncomingStore
from fedchain.exchange.records import Delivery
from fedchain.exchange.slot import describe, slot_of
from fedchain.exchange.state import NodeState
from fedchain.messages import Envelope
from fedchain.types import SCHEMA_VERSION, JobId, Kind, Phase

log = structlog.get_logger(__name__)

OF_ACTIVE = (Kind.GRADIENTS, Kind.SPLIT, Kind.LEAF_WEIGHTS, Kind.PARTITION)
OF_PASSIVE = (Kind.HISTOGRAM, Kind.PARTITION)
"""Kinds that a role sends in training, as in contracts/src/Kinds.sol."""

MAX_HELD_BYTES = 2**32
"""Of one job's deliveries that are not taken yet, an equal part of it for each sender."""

MAX_HELD_UPLINKS = 4096
"""Of one sender, in one job, that are not taken yet: a peer may be ahead by a round, not by more."""


class Receiver:
    """The two functions of `Deliveries`, called in the server's threads; and what becomes of deliveries later."""

    def __init__(
        self,
        consortium: Consortium,
        state: NodeState,
        directory: Directory,
        incoming: IncomingStore,
        *,
        me: str,
        inbox: Callable[[JobId], Inbox | None],
        on_equivocation: Callable[[JobId, str, Envelope], None] = lambda job_id, sender, envelope: None,
    ) -> None:
        self._consortium = consortium
        self._state = state
        self._directory = directory
        self._incoming = incoming
        self._me = bytes.fromhex(me[2:])
        self._inbox = inbox
        self._on_equivocation = on_equivocation
        self._lock = threading.Lock()  # nothing is recorded of a round that is being released, or of a job that is over
        self._over: set[JobId] = set()
        self._turns: dict[str, threading.Lock] = {}

    def bound(self, sender: str, raw: bytes) -> int:
        """Largest payload that is taken for an envelope now.

        Raises:
            MessageError: no envelope.
            TrainingError: not (yet) for a round that this node works on: worth another try.
            ProtocolViolationError: nothing that this sender may deliver to this node.
        """
        envelope, _ = self._admitted(sender, raw)
        return envelope.size

    def on_delivery(self, sender: str, raw: bytes, signature: bytes, payload: bytes, leaves: Sequence[bytes]) -> None:
        """Check, pass on and record; once it returns the sender need not deliver again.

        Args:
            sender: checksummed address, of whoever delivers.
            raw, signature: as they came.
            payload: its bytes.
            leaves: the hashes of its chunks, computed here.

        Raises:
            MessageError, TrainingError, ProtocolViolationError: as `bound`; or the signature is not the sender's, or
                the payload is not the envelope's; names the sender.
        """
        envelope, inbox = self._admitted(sender, raw)
        name = self._directory.name_of(sender)
        uplink_id = self._consortium.uplink_id(sender, envelope)
        try:
            signer = recover_signer(uplink_id, signature)
        except CryptoError as error:
            raise ProtocolViolationError(name, f"signature of an uplink: {error}") from error
        if not self._is_key_of(sender, signer):
            raise ProtocolViolationError(name, f"delivered an uplink that it did not sign ({describe(envelope)})")
        if len(payload) != envelope.size or not leaves or root_of(leaves) != envelope.digest:
            raise ProtocolViolationError(name, f"delivered other bytes than it signed ({describe(envelope)})")
        delivery = Delivery(inbox.job_id, envelope.round, sender, raw, signature)
        with self._turn_of(sender):
            try:
                inbox.deliver_directly(sender, envelope, payload)  # first: the job need not wait for the disk
            except ProtocolViolationError:
                self._state.keep_proof(delivery)
                with self._lock:
                    if inbox.job_id not in self._over:  # the job may have ended of it already
                        self._state.remember_delivery(delivery)
                raise
            with self._lock:
                if inbox.job_id in self._over:
                    return
                if inbox.takes(envelope.round, envelope.attempt):  # else the job has closed that round meanwhile
                    self._state.remember_delivery(delivery)  # its bytes are served by its sender, after a restart too

    def _is_key_of(self, sender: str, signer: str) -> bool:
        """Whether a key acts for the sender, or did when it signed: keys are rotated while uplinks are on their way."""
        if self._directory.participant(sender).signer == signer:
            return True
        self._directory.forget(sender)
        return self._consortium.is_key_of(sender, signer)

    def bring_back(self, inbox: Inbox) -> None:
        """After a restart: give the inbox what had come before."""
        for delivery in self._state.deliveries(inbox.job_id):
            envelope = Envelope.from_bytes(delivery.envelope)
            if envelope.attempt < inbox.attempt:
                continue  # of an attempt that was overtaken
            payload = self._incoming.received(envelope.digest)  # if it was fetched; else its sender has it
            try:
                inbox.deliver_directly(delivery.sender, envelope, payload)
            except ProtocolViolationError:
                continue  # a second digest of a slot: the inbox has taken note

    def release(self, job_id: JobId, round: int, attempt: int, digests: Iterable[bytes]) -> None:
        """Drop what came for rounds before that one and for earlier attempts.

        Args:
            job_id: the job.
            round, attempt: that this party works on now.
            digests: further payloads that the inbox has dropped.
        """
        with self._lock:
            over, kept = [], set()
            for delivery in self._state.deliveries(job_id):
                envelope = Envelope.from_bytes(delivery.envelope)
                if envelope.attempt < attempt or (envelope.attempt == attempt and envelope.round < round):
                    over.append((delivery, envelope.digest))
                else:
                    kept.add(envelope.digest)
            for digest in {*digests, *(digest for _, digest in over)} - kept:
                self._incoming.release(digest, job_id)
            if over:
                self._state.forget_deliveries(delivery for delivery, _ in over)

    def forget(self, job_id: JobId) -> None:
        """The job has ended: no delivery of it is needed any more. Proofs stay."""
        with self._lock:
            self._over.add(job_id)
            self._state.forget_deliveries(self._state.deliveries(job_id))

    def keep_proof(self, job_id: JobId, sender: str, second: Envelope) -> None:
        """Keep all that a sender has signed for a slot for which it has shown two digests, and let it be proven.

        Where one of the two was committed and not delivered, the chain has the proof's other half.
        """
        slot = slot_of(sender, second)
        for delivery in self._state.deliveries(job_id):
            if delivery.sender == sender and slot_of(sender, Envelope.from_bytes(delivery.envelope)) == slot:
                self._state.keep_proof(delivery)
        log.error(
            "two digests in one slot; the signed uplinks are kept as proof",
            job=job_id,
            party=self._directory.name_of(sender),
            slot=describe(second),
        )
        self._on_equivocation(job_id, sender, second)

    def _turn_of(self, sender: str) -> threading.Lock:
        """One uplink of a sender after the other: where two prove a fault, the first is recorded before the second."""
        with self._lock:
            return self._turns.setdefault(sender, threading.Lock())

    def _admitted(self, sender: str, raw: bytes) -> tuple[Envelope, Inbox]:
        envelope = Envelope.from_bytes(raw)
        inbox = self._inbox(JobId("0x" + envelope.job_id.hex()))
        if inbox is None or inbox.phase < Phase.TRAINING:
            raise TrainingError("this node does not train in that job yet")
        name = self._directory.name_of(sender)
        kinds = OF_ACTIVE if sender == inbox.roster[0] else OF_PASSIVE
        if not inbox.pipelined or sender not in inbox.roster or envelope.kind not in kinds:
            raise ProtocolViolationError(name, f"delivered what is not its to deliver ({describe(envelope)})")
        if (
            envelope.recipient not in (bytes(20), self._me)
            or envelope.schema != SCHEMA_VERSION
            or envelope.statistic_e6
        ):
            raise ProtocolViolationError(name, f"delivered what is not for this node ({describe(envelope)})")
        if not 1 <= envelope.size <= inbox.max_payload_bytes:
            raise ProtocolViolationError(name, f"delivered a payload of {envelope.size} bytes ({describe(envelope)})")
        if inbox.has_accused(sender):
            raise ProtocolViolationError(name, "has shown two digests for one slot; nothing more of it is taken")
        if inbox.phase > Phase.TRAINING or not inbox.takes(envelope.round, envelope.attempt):
            raise TrainingError(f"this node does not work on that round now ({describe(envelope)})")
        number, held = inbox.held_of(sender)
        if number >= MAX_HELD_UPLINKS or (held and held + envelope.size > MAX_HELD_BYTES // (len(inbox.roster) - 1)):
            raise TrainingError("this node holds as many uplinks of that sender as it takes")
        return envelope, inbox
