"""What the figures should be."""

from __future__ import annotations

from collections.abc import Mapping

AT_LEAST: dict[str, float] = {
    "line_coverage_percent": 95,
    "branch_coverage_percent": 90,
    "mutants_killed_percent": 100,
}
AT_MOST: dict[str, float] = {
    "gas_uplink_by_reference": 90_000,
    "gas_batch_leaf": 30_000,
}


def missed(figures: Mapping[str, float]) -> list[str]:
    """A line for each figure that is not as it should be; figures that were not measured are left out."""
    lines = []
    for aims, word in ((AT_LEAST, "at least"), (AT_MOST, "at most")):
        for name, aim in aims.items():
            found = figures.get(name)
            if found is not None and (found < aim if aims is AT_LEAST else found > aim):
                lines.append(
                    f"{name} is {shown(found)}, {word} {shown(aim)} is aimed at, {shown(abs(found - aim))} off"
                )
    return lines


def shown(value: float) -> str:
    """A figure as it is printed: percentages with two decimals, gas as a whole number."""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
