"""The uplinks that have come for one party in one job, by slot: from the chain, or directly from their senders."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from fedchain.chain.events import UplinkJudged
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import FedchainError
from fedchain.exchange.slot import Slot, slot_of
from fedchain.messages import Envelope
from fedchain.types import INLINE_LIMIT

EAGER_BYTES = 256 * 2**20
"""Payloads by reference are fetched as soon as they are accepted while no more than this many bytes are held."""


@dataclass
class Arrival:
    """An uplink. It is ready to be taken when payload or error are there, or the fetch is done.

    Attributes:
        sender: checksummed address.
        digest: 32 bytes.
        size: bytes.
        payload: verified bytes, where they came with the uplink.
        fetch: under way, or done.
        error: why it cannot be taken; names the sender.
        is_direct: whether it came from its sender, ahead of its verdict.
        is_taken: whether the job has got it.
    """

    sender: str
    digest: bytes
    size: int
    payload: bytes | None = None
    fetch: Future[bytes] | None = None
    error: FedchainError | None = None
    is_direct: bool = False
    is_taken: bool = False


class Arrivals:
    """Not thread-safe: the inbox's lock is held.

    Args:
        fetch: starts to fetch a payload by reference.
        accuse: takes note that a sender has shown a second digest for a slot; makes the error.
        mismatch: makes the error of a payload that is not its digest's.

    Attributes:
        eager: whether payloads by reference are fetched as soon as they are accepted, not only when they are asked for.
    """

    def __init__(
        self,
        *,
        fetch: Callable[[Arrival], Future[bytes]],
        accuse: Callable[[str, Envelope], FedchainError],
        mismatch: Callable[[str, Envelope], FedchainError],
    ) -> None:
        self._fetch = fetch
        self._accuse = accuse
        self._mismatch = mismatch
        self._by_slot: dict[Slot, Arrival] = {}
        self._taken: dict[Slot, bytes] = {}
        self.eager = True

    def accepted(self, event: UplinkJudged, *, is_batched: bool) -> None:
        """The contract accepted an uplink for this party.

        Args:
            event: its verdict.
            is_batched: whether payloads of any size may be missing in it, as in a pipelined job.
        """
        envelope, slot = event.envelope, slot_of(event.sender, event.envelope)
        earlier = self._by_slot.get(slot)
        if earlier is not None:
            if earlier.digest != envelope.digest:
                earlier.error = self._accuse(event.sender, envelope)
            return
        if self._taken.get(slot, envelope.digest) != envelope.digest:
            self._accuse(event.sender, envelope)
        self._by_slot[slot] = arrival = Arrival(event.sender, envelope.digest, envelope.size)
        if envelope.size > INLINE_LIMIT or (is_batched and not event.payload):
            held = sum(one.size for one in self._by_slot.values() if one.fetch is not None)
            if self.eager and held + envelope.size <= EAGER_BYTES:
                arrival.fetch = self._fetch(arrival)
        elif len(event.payload) == envelope.size and payload_digest(event.payload) == envelope.digest:
            arrival.payload = event.payload
        else:
            arrival.error = self._mismatch(event.sender, envelope)

    def delivered(self, sender: str, envelope: Envelope, payload: bytes | None) -> None:
        """An uplink came from its sender; its signature was checked. See `Inbox.deliver_directly`."""
        slot = slot_of(sender, envelope)
        earlier = self._by_slot.get(slot)
        known = self._taken.get(slot) if earlier is None else earlier.digest
        if known is not None and known != envelope.digest:
            raise self._accuse(sender, envelope)
        if earlier is None and known is None:
            self._by_slot[slot] = Arrival(sender, envelope.digest, envelope.size, payload, is_direct=True)
        elif earlier is not None and earlier.payload is None and not earlier.is_taken:
            earlier.payload = payload

    def ready(self, slot: Slot) -> tuple[bool, Arrival | None]:
        """Whether a slot's uplink can be taken, and the uplink if one came; starts the fetch where none was started."""
        arrival = self._by_slot.get(slot)
        if arrival is None or arrival.payload is not None or arrival.error is not None:
            return arrival is not None, arrival
        if arrival.fetch is None:
            arrival.fetch = self._fetch(arrival)
        return arrival.fetch.done(), arrival

    def take(self, slot: Slot, arrival: Arrival) -> bytes | None:
        """The payload, if it is here; one that came directly goes from memory: it lies on the disk,
        or its sender serves it."""
        self._taken[slot] = arrival.digest
        payload, arrival.is_taken = arrival.payload, True
        if arrival.is_direct:
            arrival.payload = None
        return payload

    def taken_in(self, round: int, attempt: int) -> dict[Slot, bytes]:
        """What was taken in a round, and its digests."""
        return {slot: one for slot, one in self._taken.items() if (slot.round, slot.attempt) == (round, attempt)}

    def held_of(self, sender: str) -> tuple[int, int]:
        """Number and bytes of a sender's uplinks that came directly and were not taken yet."""
        sizes = [one.size for one in self._by_slot.values() if one.is_direct and one.sender == sender and one.payload]
        return len(sizes), sum(sizes)

    def forget_accepted(self) -> None:
        """After a reorganisation: what came from the chain comes again; what was taken stays known."""
        for arrival in self._by_slot.values():
            if arrival.fetch is not None and arrival.fetch.cancel():
                arrival.fetch = None  # of one that stays, the fetch begins anew when it is asked for
        self._by_slot = {slot: one for slot, one in self._by_slot.items() if one.is_direct}

    def drop(self, which: Callable[[Slot], bool]) -> set[bytes]:
        """Forget slots; returns the digests that no other slot holds."""
        before = self._digests()
        self._taken = {slot: digest for slot, digest in self._taken.items() if not which(slot)}
        for slot in [slot for slot in self._by_slot if which(slot)]:
            fetch = self._by_slot.pop(slot).fetch
            if fetch is not None:
                fetch.cancel()
        return before - self._digests()

    def rounds(self) -> set[int]:
        """Of all that is held or was taken."""
        return {slot.round for slot in (*self._by_slot, *self._taken)}

    def _digests(self) -> set[bytes]:
        return {one.digest for one in self._by_slot.values()}
