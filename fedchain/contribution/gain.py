"""Shares as parts of the whole gain."""

from __future__ import annotations

from collections.abc import Mapping


def gain_shares(shares_e6: Mapping[str, int]) -> dict[str, float]:
    """Each party's part of the whole gain, as in the demo's report: they sum to 1.

    All 0 where there is no gain, or a loss: of a loss, whoever has made it would have the largest part.
    """
    gain = sum(shares_e6.values())
    return {name: round(share / gain, 6) if gain > 0 else 0.0 for name, share in shares_e6.items()}
