"""Every test that the threat model names exists, and each of its rows names one or says that there is none."""

from __future__ import annotations

import re

import pytest

from tests.unit.docs.markdown import ROOT

TEXT = (ROOT / "docs" / "explanation" / "threat-model.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.partition("## An outsider")[2].splitlines()
    if line.startswith("| ") and not line.startswith("| capability")
]
NAMED = sorted(set(re.findall(r"`((?:tests|contracts)/[\w/.-]+)::(\w+)`", TEXT)))


@pytest.mark.parametrize(("file", "test"), NAMED, ids=[f"{file}::{test}" for file, test in NAMED])
def test_a_named_test_exists(file: str, test: str) -> None:
    path = ROOT / file
    assert path.is_file(), file
    assert re.search(rf"^\s*(?:async )?(?:def|function) {test}\(", path.read_text(encoding="utf-8"), re.MULTILINE), test


def test_each_row_has_a_test_or_says_that_there_is_none() -> None:
    assert len(ROWS) > 60
    for row in ROWS:
        assert len(row) == 3, row
        assert re.search(r"`(?:tests|contracts)/.*::test\w+`", row[2]) or row[2].startswith("no test"), row
        if row[2].startswith("no test"):
            assert "**not defended**" in row[1], row


def test_every_attacker_of_the_overview_has_a_section() -> None:
    linked = re.findall(r"^\| \[[^\]]+\]\(#([\w-]+)\)", TEXT, re.MULTILINE)
    titles = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]

    assert linked == anchors[:-1]
    assert titles[-1] == "What is not defended"
