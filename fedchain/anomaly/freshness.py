"""Notices ciphertexts that are not fresh: sent before in the job, copied from another party, or one twice in a message.

Every honest sum is re-randomised, so its first component r·G never comes twice. A party that only replays or copies
is so noticed before anything is decrypted; one that re-randomises what it copies is not.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fedchain.errors import StaleCiphertextError
from fedchain.types import PartyId

CAPACITY = 1 << 18
"""Points of earlier rounds that are remembered: about 25 MB."""


KEPT = 1 << 15
"""Of these, points that are kept over a restart: a checkpoint is written in each round."""


class Freshness:
    """The ciphertexts of one job, as far as they are remembered; not thread-safe.

    All of the round in force are remembered. Of earlier rounds, too, up to `capacity`; beyond it a share that is halved
    whenever it is full, chosen by the points' own bits: so of a message that comes again that share is noticed.

    Args:
        capacity: points of earlier rounds that are remembered.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._round: dict[int, PartyId] = {}
        self._earlier: dict[int, PartyId] = {}
        self._kept: dict[int, PartyId] = {}
        self._mask = self._few = 0

    @property
    def remembered(self) -> int:
        """How many points of earlier rounds are remembered."""
        return len(self._earlier)

    def begin_round(self) -> None:
        """The round in force is over."""
        self._few, self._kept = self.after_round()
        self._mask, self._earlier = _joined(self._earlier, self._mask, self._round, self._capacity, in_place=True)
        self._round.clear()

    def after_round(self) -> tuple[int, dict[int, PartyId]]:
        """What a restart may go on with once the round in force is over; costs no more than the round's own points.

        Returns:
            Bits of which none is set in any of the points, and the points with their senders, at most `KEPT` and
            `capacity`.
        """
        return _joined(self._kept, self._few, self._round, min(KEPT, self._capacity))

    def resume(self, mask: int, earlier: Mapping[int, PartyId]) -> None:
        """Remember what `after_round` gave, and nothing else; of later rounds as large a share, not more."""
        self._mask = self._few = mask
        self._earlier, self._kept = dict(earlier), dict(earlier)
        self._round.clear()

    def require_fresh(self, sender: PartyId, words: Collection[int]) -> None:
        """Take note of a message's ciphertexts; none of them may have been there before.

        Args:
            sender: of the message.
            words: 64 bits of each ciphertext's first component.

        Raises:
            StaleCiphertextError: names the sender; or, where another party sent the same in this round, both, since no
                order says who copied: not that in which this party looks at messages, nor that on the chain, where
                whoever runs one of its nodes can come first.
        """
        if len(set(words)) < len(words):
            raise StaleCiphertextError(sender, "sent one ciphertext twice in a message")
        if not self._earlier.keys().isdisjoint(words):
            first = next(self._earlier[word] for word in words if word in self._earlier)
            raise StaleCiphertextError(sender, f"sent a ciphertext again that party '{first}' sent in an earlier round")
        if not self._round.keys().isdisjoint(words):
            first = next(self._round[word] for word in words if word in self._round)
            if first != sender:
                raise StaleCiphertextError(
                    f"{first} or {sender}", "both sent the same ciphertext: one of them copied the other's"
                )
            raise StaleCiphertextError(sender, "sent a ciphertext twice in a round")
        self._round.update(dict.fromkeys(words, sender))


def _joined(
    earlier: dict[int, PartyId], mask: int, round: Mapping[int, PartyId], most: int, *, in_place: bool = False
) -> tuple[int, dict[int, PartyId]]:
    """Earlier points and a round's, halved by their own bits until they are at most so many, and the bits."""
    points = earlier if in_place else dict(earlier)
    points.update((word, sender) for word, sender in round.items() if not word & mask)
    while len(points) > most:
        mask = 2 * mask + 1
        points = {word: sender for word, sender in points.items() if not word & mask}
    return mask, points
