"""Shares as parts of the whole gain."""

from __future__ import annotations

from collections.abc import Mapping


def gain_shares(shares_e6: Mapping[str, int]) -> dict[str, float]:
    """Each party's part of the whole gain, as in the demo's report: they sum to 1; all 0 where there is no gain."""
    gain = sum(shares_e6.values())
    return {name: round(share / gain, 6) if gain else 0.0 for name, share in shares_e6.items()}
