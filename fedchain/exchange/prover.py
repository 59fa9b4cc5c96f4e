"""Proves on chain what this node has caught its peers at, before the node gives the job up.

A proof costs its sender nothing but the transaction and convicts by the culprit's own signature or accepted uplinks, so
every honest party that sees a fault proves it; the first one counts. What goes wrong here is logged and hides no fault:
the signed uplinks stay in the node's state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import structlog

from fedchain.chain import (
    Consortium,
    FaultRecorded,
    JobProposed,
    Receipt,
    UplinkJudged,
    payload_evidence,
    replay_evidence,
)
from fedchain.chain.reads import BLOCKS_PER_QUERY
from fedchain.errors import ChainError, ConfigError, FedchainError, TrainingError, TransactionError
from fedchain.exchange.directory import Directory
from fedchain.exchange.slot import Slot, describe, slot_of
from fedchain.exchange.state import NodeState
from fedchain.exchange.waits import THE_CHAIN, Waits
from fedchain.messages import Envelope
from fedchain.types import JobId, Reason

log = structlog.get_logger(__name__)

FINISH_SECONDS = 30.0
"""How long a party that gives up waits for its proofs."""

_RECORDED_WITHIN_SECONDS = 3.0
_PAUSE_SECONDS = 0.1


class Prover:
    """One proof after the other, in a thread of its own. Thread-safe.

    Args:
        consortium: with this node's sender; without one nothing is proven.
        state: holds the signed uplinks that prove.
        directory: for names in logs.
        waits: the node's register.
    """

    def __init__(
        self, consortium: Consortium, state: NodeState, directory: Directory, waits: Waits | None = None
    ) -> None:
        self._consortium = consortium
        self._state = state
        self._directory = directory
        self._waits = waits or Waits()
        self._lock = threading.Lock()
        self._under_way: set[Future[None]] = set()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prover")

    def equivocation(self, job_id: JobId, sender: str, second: Envelope) -> None:
        """A sender has shown a second digest for a slot: prove it. Returns at once.

        Args:
            job_id: the job.
            sender: address.
            second: the envelope by which it was found; its signature, and the other's, may be recorded a little later.
        """
        self._start(lambda: self._prove_equivocation(job_id, sender, second), Reason.EQUIVOCATION, job_id, sender)

    def replay(self, job_id: JobId, sender: str, first: Envelope, second: Envelope) -> None:
        """A sender has sent one ciphertext in two rounds, each accepted or signed: prove it. Returns at once."""
        self._start(lambda: self._prove_replay(job_id, sender, first, second), Reason.REPLAY, job_id, sender)

    def other_payload(self, job_id: JobId, sender: str, digest: bytes, served: bytes, signature: bytes) -> None:
        """A sender serves another payload than it committed to: prove it. Returns at once.

        Args:
            job_id: the job.
            sender: address.
            digest: 32 bytes, asked for.
            served: 32 bytes, the digest of what it serves.
            signature: as it came with what is served; one that is not the sender's proves nothing.
        """

        def prove() -> None:
            if self._consortium.faults.is_proven(payload_evidence(sender, digest)):
                return
            envelope = _accepted(self._consortium, job_id, sender, lambda one: one.digest == digest)
            if envelope is None:
                raise TrainingError("the ledger has accepted no uplink of that digest")
            receipt = self._consortium.faults.prove_payload_mismatch(sender, envelope, served, signature)
            self._tell(job_id, sender, receipt)

        self._start(prove, Reason.PAYLOAD_MISMATCH, job_id, sender)

    def finish(self, seconds: float = FINISH_SECONDS) -> None:
        """Wait until the proofs under way are on chain, or have failed. Raises nothing."""
        with self._lock:
            under_way = set(self._under_way)
        if not under_way:
            return
        with self._waits.on((THE_CHAIN,), "proofs", f"proofs of {len(under_way)} faults", time.monotonic() + seconds):
            left = wait(under_way, timeout=seconds).not_done
        if left:
            log.warning("proofs of faults are not on chain in time; the signed uplinks are kept", seconds=seconds)

    def close(self) -> None:
        """Begin no further proof; `finish` first."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self, prove: Callable[[], None], reason: Reason, job_id: JobId, sender: str) -> None:
        if self._consortium.sender is None:
            return

        def work() -> None:
            try:
                prove()
            except FedchainError as error:
                tell = log.info if isinstance(error, TransactionError) and "AlreadyProven" in str(error) else log.error
                tell("a fault was not proven", job=job_id, fault=reason.name, error=str(error))
            except Exception:  # a defect here may not hide the fault that was found
                log.exception("a fault was not proven", job=job_id, fault=reason.name)

        with self._lock:
            try:
                future = self._pool.submit(work)
            except RuntimeError:  # closing
                return
            self._under_way.add(future)
        future.add_done_callback(self._done)

    def _done(self, future: Future[None]) -> None:
        with self._lock:
            self._under_way.discard(future)

    def _prove_equivocation(self, job_id: JobId, sender: str, second: Envelope) -> None:
        receipt = prove_equivocation(self._consortium, self._state, job_id, sender, second)
        if receipt is not None:
            self._tell(job_id, sender, receipt)

    def _prove_replay(self, job_id: JobId, sender: str, first: Envelope, second: Envelope) -> None:
        ids = (self._consortium.uplink_id(sender, first), self._consortium.uplink_id(sender, second))
        if self._consortium.faults.is_proven(replay_evidence(*ids)):
            return
        signatures = [signature_of(self._consortium, self._state, job_id, sender, one) for one in (first, second)]
        receipt = self._consortium.faults.prove_replay(sender, first, signatures[0], second, signatures[1])
        self._tell(job_id, sender, receipt)

    def _tell(self, job_id: JobId, sender: str, receipt: Receipt) -> None:
        recorded = fault_of(receipt)
        log.warning(
            "proved a fault on chain",
            job=job_id,
            party=self._directory.name_of(sender),
            fault=recorded.reason.name,
            number=recorded.fault_id,
            answer=recorded.answer.name.lower(),
        )


def fault_of(receipt: Receipt) -> FaultRecorded:
    """The fault that a proof was recorded as.

    Raises:
        ChainError: the receipt holds none.
    """
    for event in receipt.events:
        if isinstance(event, FaultRecorded):
            return event
    raise ChainError("the receipt of a proof holds no fault; deployment and chain do not fit together")


def prove_equivocation(
    consortium: Consortium, state: NodeState, job_id: JobId, sender: str, second: Envelope
) -> Receipt | None:
    """Prove that a sender has put two digests into the slot of an envelope; None where that is proven already.

    Args:
        consortium: with a sender.
        state: holds what the sender has signed, or soon will.
        job_id: the job.
        sender: address.
        second: one of the two envelopes.

    Raises:
        TrainingError: only one of the two uplinks is here, signed or accepted.
        TransactionError: the contract does not take it, or somebody else was first.
        ChainUnreachableError: the chain's node does not answer.
    """
    faults = consortium.faults
    if faults.is_proven(faults.equivocation_evidence(sender, second)):
        return None
    halves = _halves(consortium, state, job_id, sender, slot_of(sender, second))
    if len(halves) < 2:
        raise TrainingError(f"only one of the two uplinks is here, signed or accepted ({describe(second)})")
    (one, one_signature), (other, other_signature) = halves[:2]
    return faults.prove_equivocation(sender, one, one_signature, other, other_signature)


def prove_kept(consortium: Consortium, folder: Path, job_id: JobId) -> list[int]:
    """Prove what a node has kept as evidence and is not proven yet; the numbers of the faults.

    Args:
        consortium: with a sender.
        folder: a node's state folder; the node may be running.
        job_id: the job.

    Raises:
        ConfigError: there is no node's state, or it is not this user's to read.
        As `prove_equivocation`.
    """
    path = folder / "node.sqlite"
    if not path.is_file():
        raise ConfigError(f"{folder}: no node's state is there; give the one of node.toml's [state] folder")
    try:
        state = NodeState(path, chain_id=consortium.client.chain_id, genesis_hash=consortium.client.genesis_hash())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; run this as the node's user") from error
    try:
        kept = {}
        for one in state.proofs(job_id):
            envelope = Envelope.from_bytes(one.envelope)
            kept[slot_of(one.sender, envelope)] = (one.sender, envelope)
        receipts = [prove_equivocation(consortium, state, job_id, *one) for one in kept.values()]
    finally:
        state.close()
    return [fault_of(receipt).fault_id for receipt in receipts if receipt is not None]


def _halves(
    consortium: Consortium, state: NodeState, job_id: JobId, sender: str, slot: Slot
) -> list[tuple[Envelope, bytes]]:
    """Uplinks of a slot with different digests, each with its signature, or an empty one where it was accepted."""
    until = time.monotonic() + _RECORDED_WITHIN_SECONDS
    accepted = _accepted(consortium, job_id, sender, lambda one: slot_of(sender, one) == slot)
    while True:
        halves = {} if accepted is None else {accepted.digest: (accepted, b"")}
        for one in (*state.proofs(job_id), *state.deliveries(job_id)):
            envelope = Envelope.from_bytes(one.envelope)
            if one.sender == sender and slot_of(sender, envelope) == slot:
                halves.setdefault(envelope.digest, (envelope, one.signature))
        if len(halves) >= 2 or time.monotonic() >= until:
            return list(halves.values())
        time.sleep(_PAUSE_SECONDS)  # who takes a delivery records it just after the inbox has found the fault


def signature_of(consortium: Consortium, state: NodeState, job_id: JobId, sender: str, envelope: Envelope) -> bytes:
    """A sender's signature of an uplink that came directly; empty where the ledger has accepted it.

    Raises:
        TrainingError: it is neither accepted nor here, signed.
    """
    until = time.monotonic() + _RECORDED_WITHIN_SECONDS
    while True:
        verdict = consortium.verdict(sender, envelope)
        if verdict.known and verdict.reason == Reason.ACCEPTED:
            return b""
        for one in (*state.proofs(job_id), *state.deliveries(job_id)):
            if one.sender == sender and Envelope.from_bytes(one.envelope) == envelope:
                return one.signature
        if time.monotonic() >= until:
            raise TrainingError(f"an uplink is neither accepted nor here, signed ({describe(envelope)})")
        time.sleep(_PAUSE_SECONDS)  # who takes a delivery records it just after the inbox has found the fault


def _accepted(consortium: Consortium, job_id: JobId, sender: str, is_it: Callable[[Envelope], bool]) -> Envelope | None:
    """The accepted uplink of a sender that is it, looked for from the newest block back to the job's proposal."""
    end = consortium.client.head()
    while end >= 0:
        start = max(0, end - BLOCKS_PER_QUERY + 1)
        events = consortium.events(start, end)
        for event in events:
            if (
                isinstance(event, UplinkJudged)
                and (event.job_id, event.sender, event.reason) == (job_id, sender, Reason.ACCEPTED)
                and is_it(event.envelope)
            ):
                return event.envelope
        if any(isinstance(event, JobProposed) and event.job_id == job_id for event in events):
            return None
        end = start - 1
    return None
