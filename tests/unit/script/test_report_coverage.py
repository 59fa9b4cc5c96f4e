"""Coverage is read from LCOV, of the contracts alone."""

from __future__ import annotations

import pytest

from contracts.script.report.coverage import Coverage, read_lcov
from contracts.script.report.workspace import ReportError

LCOV = """\
TN:
SF:contracts/src/B.sol
DA:3,7
FN:3,B.f
FNDA:7,B.f
DA:4,0
BRDA:4,0,0,-
BRDA:4,1,0,0
BRDA:5,2,0,3
end_of_record
TN:
SF:contracts/src/interfaces/A.sol
DA:1,1
end_of_record
TN:
SF:contracts/test/B.t.sol
DA:1,0
end_of_record
TN:
SF:node_modules/lib/C.sol
DA:1,0
BRDA:1,0,0,-
end_of_record
"""


def test_lines_and_branches_of_the_sources_are_counted_and_nothing_else() -> None:
    first, second = read_lcov(LCOV.splitlines())

    assert (first.name, first.lines, first.lines_hit, first.missed_lines) == ("B.sol", 2, 1, (4,))
    assert (first.branches, first.branches_hit, first.missed_branches) == (3, 1, (4,))
    assert (second.name, second.lines_hit, second.branches) == ("interfaces/A.sol", 1, 0)
    coverage = Coverage((first, second))
    assert coverage.line_percent == pytest.approx(100 * 2 / 3)
    assert coverage.branch_percent == pytest.approx(100 / 3)


def test_a_line_that_is_recorded_twice_is_one_line() -> None:
    doubled = LCOV.replace("DA:4,0\n", "DA:4,0\nDA:4,2\n")
    assert read_lcov(doubled.splitlines())[0].lines_hit == read_lcov(doubled.splitlines())[0].lines == 2


@pytest.mark.parametrize("text", ["", "SF:contracts/test/B.t.sol\nDA:1,1\nend_of_record\n"])
def test_a_file_without_the_sources_is_no_coverage(text: str) -> None:
    with pytest.raises(ReportError, match="no file below contracts/src"):
        read_lcov(text.splitlines())


@pytest.mark.parametrize("line", ["DA:x,1", "DA:1", "BRDA:1,0,1"])
def test_a_broken_line_is_named(line: str) -> None:
    with pytest.raises(ReportError, match=f"not a line of LCOV: '{line}'"):
        read_lcov(["SF:contracts/src/B.sol", line, "end_of_record"])
