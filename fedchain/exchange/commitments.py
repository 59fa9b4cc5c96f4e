"""The verdicts on the uplinks of a pipelined job's rounds, as far as they are not closed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from fedchain.errors import FedchainError
from fedchain.exchange.slot import Slot


class Commitments:
    """Not thread-safe: the inbox's lock is held."""

    def __init__(self) -> None:
        self._accepted: dict[Slot, bytes] = {}
        self._rejected: dict[tuple[Slot, bytes], Callable[[], FedchainError]] = {}

    def accept(self, slot: Slot, digest: bytes) -> None:
        """The contract accepted a digest."""
        self._accepted[slot] = digest

    def reject(self, slot: Slot, digest: bytes, error: Callable[[], FedchainError]) -> None:
        """The contract rejected a digest for a slot: the first time counts.

        What else its sender had rejected is nobody's concern: it may yet commit what it has delivered, and whoever gave
        the round up for it would be left behind by those who did not.
        """
        self._rejected.setdefault((slot, digest), error)

    def missing(self, wanted: Mapping[Slot, bytes]) -> list[Slot]:
        """Slots of which these digests are not accepted (yet)."""
        return [slot for slot, digest in wanted.items() if self._accepted.get(slot) != digest]

    def contradicted(self, slots: Iterable[Slot]) -> Slot | None:
        """The first of these slots that holds a digest: another one than was wanted."""
        return next((slot for slot in slots if slot in self._accepted), None)

    def rejection(self, wanted: Mapping[Slot, bytes]) -> Callable[[], FedchainError] | None:
        """Makes the error of the first of these digests that was rejected since `forget_rejections`, and is missing."""
        missing = ((slot, wanted[slot]) for slot in self.missing(wanted))
        return next((self._rejected[one] for one in missing if one in self._rejected), None)

    def forget_rejections(self) -> None:
        """A round was closed, or is tried again: what was rejected before is in nobody's way."""
        self._rejected = {}

    def drop(self, which: Callable[[Slot], bool]) -> None:
        """Forget slots."""
        self._accepted = {slot: digest for slot, digest in self._accepted.items() if not which(slot)}

    def __len__(self) -> int:
        return len(self._accepted)
