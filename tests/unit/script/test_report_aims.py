"""A figure that is not as it should be is told with what it lacks."""

from __future__ import annotations

from contracts.script.report.aims import missed, shown


def test_figures_at_their_aims_are_as_they_should_be() -> None:
    assert missed({"line_coverage_percent": 95.0, "gas_batch_leaf": 30_000, "gas_accreditation": 10**9}) == []


def test_each_figure_beyond_its_aim_is_a_line() -> None:
    assert missed({"branch_coverage_percent": 89.5, "mutants_killed_percent": 100.0, "gas_batch_leaf": 30_001}) == [
        "branch_coverage_percent is 89.50, at least 90 is aimed at, 0.50 off",
        "gas_batch_leaf is 30001, at most 30000 is aimed at, 1 off",
    ]


def test_percentages_have_two_decimals_and_gas_has_none() -> None:
    assert (shown(99.999), shown(100.0), shown(90_000)) == ("100.00", "100.00", "90000")
