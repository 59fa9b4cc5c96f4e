"""Shapley values in whole numbers, as the contract computes them: exact for up to 8 parties."""

from __future__ import annotations

import math
from collections.abc import Sequence

SCALE = 840
"""s! (p - s - 1)! / p! times this is whole for all p up to 8."""
MAX_PARTIES = 8


def shapley_840(utilities: Sequence[int]) -> tuple[int, ...]:
    """Shapley values of integer utilities, times 840; they sum to 840 (U(all) - U(nobody)).

    Args:
        utilities: of every coalition; index = bit mask over roster positions; of 1 to 8 parties.

    Returns:
        Roster order.

    Raises:
        ValueError: another number of utilities.
    """
    parties = len(utilities).bit_length() - 1
    if not 1 <= parties <= MAX_PARTIES or len(utilities) != 2**parties:
        raise ValueError(f"{len(utilities)} utilities are not those of all coalitions of 1 to {MAX_PARTIES} parties")
    whole = math.factorial(parties)
    weights = [SCALE * math.factorial(size) * math.factorial(parties - size - 1) // whole for size in range(parties)]
    return tuple(
        sum(
            weights[coalition.bit_count()] * (utilities[coalition | 1 << party] - utilities[coalition])
            for coalition in range(2**parties)
            if not coalition >> party & 1
        )
        for party in range(parties)
    )


def rounded_e6(shares840: Sequence[int]) -> tuple[int, ...]:
    """Whole shares, scale 1e6, from exact ones, scale 840e6: the same as `shapley_e6` of the same utilities.

    They sum to the whole gain: fractions are rounded down, and the remainder goes to the largest fractional parts.

    Raises:
        ValueError: the exact ones do not sum to a whole gain.
    """
    gain, odd = divmod(sum(shares840), SCALE)
    if odd:
        raise ValueError("exact shares do not sum to a whole gain")
    rounded = [share // SCALE for share in shares840]
    by_fraction = sorted(range(len(rounded)), key=lambda party: (-(shares840[party] % SCALE), party))
    for party in by_fraction[: gain - sum(rounded)]:
        rounded[party] += 1
    return tuple(rounded)
