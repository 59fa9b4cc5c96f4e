"""Stewards, typed: who they are, and what came of a vote."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fedchain.chain.artifacts import REGISTRY, STEWARDS
from fedchain.chain.standing_events import VoteCast
from fedchain.chain.transaction import Receipt
from fedchain.errors import ChainError
from fedchain.types import Status

MAX_STEWARDS = 32
"""As in `Stewards`."""

Read = Callable[..., tuple[Any, ...]]
Write = Callable[..., Receipt]


@dataclass(frozen=True)
class Vote:
    """A steward's vote, counted.

    Attributes:
        votes: cast for the motion, this one among them.
        threshold: how many carry it.
        carried: whether this vote carried it, so that it is done.
        receipt: of its transaction.
    """

    votes: int
    threshold: int
    carried: bool
    receipt: Receipt

    @classmethod
    def of(cls, receipt: Receipt, domain: str) -> Vote:
        """What a receipt says of the vote for a motion of the contract at `domain`.

        Raises:
            ChainError: it holds no vote.
        """
        for event in receipt.events:
            if isinstance(event, VoteCast) and event.domain == domain:
                return cls(event.votes, event.threshold, event.votes >= event.threshold, receipt)
        raise ChainError("the receipt holds no vote; deployment and chain do not fit together")

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"votes": self.votes, "threshold": self.threshold, "carried": self.carried}

    def __str__(self) -> str:
        return f"{self.votes} of {self.threshold} votes"


class Stewarding:
    """The stewards of a consortium; `Consortium.stewards` is one. They vote on members, versions and themselves.

    Every method raises `ChainUnreachableError` when the chain's node does not answer; those that write wait until it is
    mined, and raise `TransactionError` with the contract's typed error.

    Args:
        read: calls a view: contract, function, arguments.
        write: sends a transaction: the same.
        addresses: contract name to checksummed address.
    """

    def __init__(self, read: Read, write: Write, addresses: dict[str, str]) -> None:
        self._read = read
        self._write = write
        self._addresses = addresses

    def members(self) -> tuple[str, ...]:
        """Today's stewards, checksummed addresses."""
        return tuple(self._read(STEWARDS, "stewards")[0])

    def threshold(self) -> int:
        """How many votes carry a motion."""
        return int(self._read(STEWARDS, "threshold")[0])

    def epoch(self) -> int:
        """The number of the present set of stewards, from 1."""
        return int(self._read(STEWARDS, "epoch")[0])

    def is_steward(self, address: str) -> bool:
        """Whether the address is one today."""
        return bool(self._read(STEWARDS, "isSteward", address)[0])

    def votes(self, contract: str, motion: bytes) -> int:
        """The votes that count now for a motion of one of the consortium's contracts."""
        return int(self._read(STEWARDS, "votesOf", self._addresses[contract], motion)[0])

    def has_voted(self, contract: str, motion: bytes, steward: str) -> bool:
        """Whether a steward's vote for the motion counts now."""
        return bool(self._read(STEWARDS, "hasVoted", self._addresses[contract], motion, steward)[0])

    def voters(self, address: str, proposed: Status) -> tuple[str, ...]:
        """The stewards whose votes count now that a participant get a status."""
        (motion,) = self._read(REGISTRY, "motionOf", address, int(proposed))
        return tuple(one for one in self.members() if self.has_voted(REGISTRY, motion, one))

    def change(self, stewards: Sequence[str], threshold: int) -> Vote:
        """A steward's vote for other stewards. Once carried, every open vote is void.

        Args:
            stewards: 1..`MAX_STEWARDS` distinct addresses; their order is part of what is voted on.
            threshold: how many of them carry a motion from then on.
        """
        return Vote.of(self._write(STEWARDS, "change", list(stewards), threshold), self._addresses[STEWARDS])

    def accredit(self, address: str) -> Vote:
        """A steward's vote to let a registered participant take part."""
        return self._decide("accredit", address)

    def suspend(self, address: str, reason: str) -> Vote:
        """A steward's vote to stop a participant; the reason (at most 256 bytes) is public."""
        return self._decide("suspend", address, reason)

    def reinstate(self, address: str) -> Vote:
        """A steward's vote to accredit a suspended participant again; its strikes are then zero."""
        return self._decide("reinstate", address)

    def ban(self, address: str, reason: str) -> Vote:
        """A steward's vote to exclude a participant for ever; the reason (at most 256 bytes) is public."""
        return self._decide("ban", address, reason)

    def is_gate(self, address: str) -> bool:
        """Whether a contract may write strikes."""
        return bool(self._read(REGISTRY, "isGate", address)[0])

    def gate_motion(self, address: str) -> bytes:
        """The motion of the registry that `admit_gate` votes on."""
        return bytes(self._read(REGISTRY, "gateMotionOf", address)[0])

    def admit_gate(self, address: str) -> Vote:
        """A steward's vote to let another version's anomaly record write strikes, beside the earlier ones."""
        return self._decide("admitGate", address)

    def _decide(self, name: str, *arguments: object) -> Vote:
        return Vote.of(self._write(REGISTRY, name, *arguments), self._addresses[REGISTRY])
