"""The directory, typed: which contracts are in force, and their change by stewards' votes after a delay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedchain.chain.abi import address_or_none
from fedchain.chain.artifacts import DIRECTORY
from fedchain.chain.stewarding import Read, Vote, Write
from fedchain.chain.transaction import Receipt


@dataclass(frozen=True)
class PendingChange:
    """A change of the directory that stewards voted for.

    Attributes:
        version: that it makes.
        not_before: when it may be applied, seconds of the chain's clock.
        addresses: contract name to address, of what it changes.
    """

    version: int
    not_before: int
    addresses: dict[str, str]


class Versions:
    """The directory of a consortium; `Consortium.versions` is one.

    Every method raises `ChainUnreachableError` when the chain's node does not answer; those that write wait until it is
    mined, and raise `TransactionError` with the contract's typed error.

    Args:
        read: calls a view: contract, function, arguments.
        write: sends a transaction: the same.
        address: of the directory.
    """

    def __init__(self, read: Read, write: Write, address: str) -> None:
        self._read = read
        self._write = write
        self._address = address

    def current(self) -> int:
        """The version in force, from 1."""
        return int(self._read(DIRECTORY, "version")[0])

    def delay_seconds(self) -> int:
        """Between a proposal that is carried and the first moment at which it may be applied."""
        return int(self._read(DIRECTORY, "delay")[0])

    def address_of(self, name: str, version: int | None = None) -> str | None:
        """A contract's address in a version, None for the one in force; None where it has none there.

        Raises:
            TransactionError: `UnknownVersion(…)`: later than the one in force.
        """
        if version is None:
            (found,) = self._read(DIRECTORY, "addressOf", name_bytes(name))
        else:
            (found,) = self._read(DIRECTORY, "addressAt", name_bytes(name), version)
        return address_or_none(found)

    def pending(self) -> PendingChange | None:
        """The change that waits for its time, if there is one."""
        version, not_before, names, addresses = self._read(DIRECTORY, "pending")
        if version == 0:
            return None
        return PendingChange(version, not_before, dict(zip(map(name_text, names), addresses, strict=True)))

    def proposal_motion(self, addresses: Mapping[str, str]) -> bytes:
        """The motion of the directory that `propose` votes on now."""
        return bytes(self._read(DIRECTORY, "proposalMotionOf", *_arguments(addresses))[0])

    def propose(self, addresses: Mapping[str, str]) -> Vote:
        """A steward's vote to give names other addresses; once carried, the change is pending for the delay.

        Args:
            addresses: contract name to address, 1..32; the order is part of what is voted on.
        """
        return Vote.of(self._write(DIRECTORY, "propose", *_arguments(addresses)), self._address)

    def cancel(self) -> Vote:
        """A steward's vote to drop the pending change."""
        return Vote.of(self._write(DIRECTORY, "cancel"), self._address)

    def apply(self) -> Receipt:
        """Put the pending change into force; anybody may, once its time has come."""
        return self._write(DIRECTORY, "applyChange")


def name_bytes(name: str) -> bytes:
    """A contract's name as the directory has it: 32 bytes, padded with zeros."""
    return name.encode().ljust(32, b"\0")


def name_text(name: bytes) -> str:
    """A name of the directory as text; stewards chose it, so bytes that are no ASCII are replaced."""
    return name.rstrip(b"\0").decode("ascii", errors="replace")


def _arguments(addresses: Mapping[str, str]) -> tuple[list[bytes], list[str]]:
    return [name_bytes(name) for name in addresses], list(addresses.values())
