"""Slither's findings are held against the triage, both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contracts.script.report.mutants import SOURCES, without_comments
from contracts.script.report.slither import Finding, Spot, compare, load_triage, read_findings
from contracts.script.report.workspace import ReportError

SPOT = Spot("unused-return", "Ledger", "submit")


def element(kind: str, name: str, parent: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": kind, "name": name, "type_specific_fields": {"parent": parent} if parent else {}}


def detector(impact: str, *elements: dict[str, Any]) -> dict[str, Any]:
    return {"check": "unused-return", "impact": impact, "description": "it\n\tignores", "elements": list(elements)}


LEDGER = element("contract", "Ledger")
SUBMIT = element("function", "submit", LEDGER)


def test_a_finding_is_placed_by_contract_and_function() -> None:
    document = {
        "success": True,
        "results": {
            "detectors": [
                detector("Medium", element("node", "x = f()", SUBMIT)),
                detector("High", SUBMIT, element("node", "g()", SUBMIT)),
                detector("High", element("variable", "limit", LEDGER)),
                detector("High", element("variable", "local", SUBMIT)),
                detector("Low", SUBMIT),
                detector("Informational", SUBMIT),
            ]
        },
    }
    found = read_findings(document)
    assert [one.spot.function for one in found] == ["limit", "submit", "submit", "submit"]
    assert {(one.spot.check, one.spot.contract, one.words) for one in found} == {
        ("unused-return", "Ledger", "it ignores")
    }


def test_no_findings_are_none_and_no_end_is_an_error() -> None:
    assert read_findings({"success": True, "results": {}}) == []
    with pytest.raises(ReportError, match="slither did not finish: it broke"):
        read_findings({"success": False, "error": "why\nit broke\n", "results": {}})
    with pytest.raises(ReportError, match="no result"):
        read_findings([])


@pytest.mark.parametrize(
    ("found", "explained", "says"),
    [
        (1, 1, ""),
        (0, 0, ""),
        (1, 0, "1 found, 0 explained in triage.toml: High: words"),
        (2, 1, "2 found, 1 explained"),
        (0, 1, "1 explained in triage.toml, 0 found: remove the explanation"),
        (1, 2, "2 explained in triage.toml, 1 found"),
    ],
)
def test_findings_and_explanations_agree_in_number(found: int, explained: int, says: str) -> None:
    lines = compare([Finding(SPOT, "High", "words")] * found, {SPOT: (explained, "why")} if explained else {})
    assert len(lines) == bool(says)
    assert all(says in line and "unused-return in Ledger.submit" in line for line in lines)


ENTRY = '[[finding]]\ncheck = "a"\ncontract = "B"\nfunction = "c"\nwhy = "d"\n'


def test_a_triage_is_read_with_its_counts(tmp_path: Path) -> None:
    file = tmp_path / "triage.toml"
    file.write_text(ENTRY + "count = 3\n")
    assert load_triage(file) == {Spot("a", "B", "c"): (3, "d")}
    file.write_text("")
    assert load_triage(file) == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (ENTRY + ENTRY, "a in B.c is explained twice"),
        (ENTRY.replace('why = "d"', 'why = " "'), "needs a reason"),
        (ENTRY + "count = 0\n", "a count from 1"),
        (ENTRY.replace('why = "d"\n', ""), "expected check, contract, function, why"),
        (ENTRY + "line = 7\n", "expected check, contract, function, why"),
        ("[[finding]\n", "triage.toml"),
    ],
)
def test_a_broken_triage_is_refused(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "triage.toml"
    file.write_text(text)
    with pytest.raises(ReportError, match=says):
        load_triage(file)


def test_what_is_explained_exists() -> None:
    for spot in load_triage():
        (source,) = SOURCES.rglob(f"{spot.contract}.sol")
        assert spot.function in without_comments(source.read_text(encoding="utf-8")), spot
