"""Every command in the documentation does what its page says, on a real chain with real nodes.

The tutorial runs first; the other pages go on in the folder that it leaves behind, each in a shell of its own. They are
one test, so that the tutorial need not run again for each page, whatever runs the tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.clone import Clone, Terminal
from tests.unit.docs.blocks import COMMAND_PAGES, blocks_of
from tests.unit.docs.markdown import ROOT

README = ROOT / "README.md"
TUTORIAL = ROOT / "docs" / "tutorial.md"
HOW_TO = ROOT / "docs" / "how-to"

QUICK = [HOW_TO / "add-a-partner.md", HOW_TO / "anomalies.md", HOW_TO / "audit.md"]
"""Pages that `make test` follows after the tutorial; `make soak` follows the rest."""

REST = [
    page
    for page in COMMAND_PAGES
    if page not in (README, TUTORIAL, *QUICK) and any(not block.never for block in blocks_of(page))
]


@pytest.mark.timeout(900)
def test_the_tutorial_and_the_pages_that_go_on_after_it() -> None:
    follow_all(QUICK)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_all_other_pages_go_on_after_the_tutorial() -> None:
    assert REST
    follow_all(REST)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_the_readme_begins_with_nothing() -> None:
    clone = Clone()
    try:
        follow(clone, README, active=False)
    finally:
        clone.close()


def follow_all(pages: Sequence[Path]) -> None:
    """Follow the tutorial, then other pages, in one clone."""
    clone = Clone()
    try:
        job = follow(clone, TUTORIAL, active=False)
        assert job.startswith("0x")
        for page in pages:
            follow(clone, page, active=True, first=f"JOB={job}")
    finally:
        clone.close()


def follow(clone: Clone, page: Path, *, active: bool, first: str = "") -> str:
    """Do all that a page says, and return what it left in the variable `JOB`.

    Raises:
        PageError: something came out otherwise.
    """
    terminal = Terminal(clone, active=active, first=first)
    try:
        for block in blocks_of(page):
            terminal.follow(block)
        return terminal.run('echo "$JOB"')[1].strip()
    finally:
        terminal.close()
