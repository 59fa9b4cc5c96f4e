"""Where an uplink stands among a job's others."""

from __future__ import annotations

from dataclasses import dataclass

from fedchain.messages.envelope import Envelope
from fedchain.types import Kind


@dataclass(frozen=True)
class Slot:
    """One place for one uplink.

    Attributes:
        round: as in the envelope.
        attempt: as in the envelope.
        step: as in the envelope.
        kind: what the payload is.
        sender: lower-case address.
        recipient: lower-case address, or "" for the whole roster.
    """

    round: int
    attempt: int
    step: int
    kind: Kind
    sender: str
    recipient: str


def describe(envelope: Envelope) -> str:
    """An envelope's slot in words, for errors and logs."""
    try:
        kind = Kind(envelope.kind).name.lower()
    except ValueError:
        kind = f"kind {int(envelope.kind)}"
    return f"{kind}, round {envelope.round}, attempt {envelope.attempt}, step {envelope.step}"


def slot_of(sender: str, envelope: Envelope) -> Slot:
    """The slot of a sender's envelope.

    Args:
        sender: address, in any case.
        envelope: with a known kind.
    """
    recipient = "0x" + envelope.recipient.hex() if any(envelope.recipient) else ""
    return Slot(envelope.round, envelope.attempt, envelope.step, Kind(envelope.kind), sender.lower(), recipient)
