"""Notices ciphertexts that are not fresh: sent before in the job, copied from another party, or one twice in a message.

Every honest sum is re-randomised, so its first component r·G never comes twice. A party that only replays or copies
is so noticed before anything is decrypted; one that re-randomises what it copies is not.
"""

from __future__ import annotations

from collections.abc import Collection

from fedchain.errors import StaleCiphertextError
from fedchain.types import PartyId

CAPACITY = 1 << 18
"""Points of earlier rounds that are remembered: about 25 MB."""


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
        self._mask = 0

    @property
    def remembered(self) -> int:
        """How many points of earlier rounds are remembered."""
        return len(self._earlier)

    def begin_round(self) -> None:
        """The round in force is over."""
        mask = self._mask
        self._earlier.update((word, sender) for word, sender in self._round.items() if not word & mask)
        self._round.clear()
        while len(self._earlier) > self._capacity:
            self._mask = mask = 2 * self._mask + 1
            self._earlier = {word: sender for word, sender in self._earlier.items() if not word & mask}

    def require_fresh(self, sender: PartyId, words: Collection[int]) -> None:
        """Take note of a message's ciphertexts; none of them may have been there before.

        Args:
            sender: of the message.
            words: 64 bits of each ciphertext's first component.

        Raises:
            StaleCiphertextError: names the sender; or, where another party sent the same in this round, both, since the
                order in which this party looks at messages says nothing about who copied: that of the chain does.
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
                    f"{first} or {sender}", "both sent the same ciphertext: whose uplink was accepted later copied it"
                )
            raise StaleCiphertextError(sender, "sent a ciphertext twice in a round")
        self._round.update(dict.fromkeys(words, sender))
