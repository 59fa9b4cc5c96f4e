"""Shares as parts of the whole gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

E6 = 1_000_000


def gain_shares(shares_e6: Mapping[str, int]) -> dict[str, float]:
    """Each party's part of the whole gain, as in the demo's report: they sum to 1; all 0 where there is no gain."""
    gain = sum(shares_e6.values())
    return {name: round(share / gain, 6) if gain else 0.0 for name, share in shares_e6.items()}


def split_gain_parts_e6(gains: Sequence[float]) -> tuple[int, ...]:
    """Each party's part of the gain of all splits in training (`ActiveModel.gains`), x 1e6.

    It costs nothing and is what many tools call importance; but a party with many columns of noise gets a good part of
    it, and only the label holder knows it. So it stands beside shares and is never paid by.

    Returns:
        Roster order, 0 to 1e6 each, all 0 where there was no split; empty where gains are not known.
    """
    whole = sum(gains)
    return tuple(round(one / whole * E6) if whole > 0 else 0 for one in gains)
