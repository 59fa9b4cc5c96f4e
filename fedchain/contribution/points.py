"""Whole points in proportion to shares, as the contract divides them."""

from __future__ import annotations

from collections.abc import Sequence


def divide(shares: Sequence[int], budget: int) -> tuple[int, ...]:
    """Divide a budget by the shares that are positive, by largest remainder; the earlier party first where two tie.

    Source: Hamilton's method of apportionment; `contracts/src/Points.sol`.

    Args:
        shares: of any one scale.
        budget: points, 0 or more.

    Returns:
        One number per share; their sum is the budget if any share is positive, else 0.
    """
    positive = [max(0, share) for share in shares]
    total = sum(positive)
    if not total:
        return (0,) * len(positive)
    points = [budget * share // total for share in positive]
    left = budget - sum(points)
    for place in sorted(range(len(points)), key=lambda one: (-(budget * positive[one] % total), one))[:left]:
        points[place] += 1
    return tuple(points)
