"""The page in a browser: it asks for nothing, runs nothing, and is read in light and dark, by telephone, on paper."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedchain.node.anomalies import Category, What
from fedchain.node.reporting.facts import JobReport
from fedchain.node.reporting.page import MOST_PRINTED, render
from tests.browser import Browser, started
from tests.unit.node.reporting.facts import NAMES, entry, report

LONG = "the_insurance_company_of_the_north_and_west"
PAPER = 718
"""Pixels of A4's width without its margins."""

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

CUT = """
[...document.querySelectorAll('body *')].filter(one => !one.closest('svg, .table, caption'))
  .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(one => one.outerHTML.slice(0, 90))
"""
"""What sticks out at the right; tables scroll by themselves."""

FAINT = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = colour => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = colour => {
    const [r, g, b] = rgb(colour).map(one => one / 255).map(
      one => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = one => {
    for (; one; one = one.parentElement)
      if (rgb(getComputedStyle(one).backgroundColor)[3] === 255) return getComputedStyle(one).backgroundColor;
    return 'white';
  };
  const found = new Set();
  const see = (one, colour, least, before = one) => {
    const got = ratio(colour, behind(before));
    if (got < least) found.add(`${one.tagName}.${one.getAttribute('class')} ${colour} ${got.toFixed(2)}`);
  };
  for (const one of document.querySelectorAll('body *')) {
    const words = [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    const look = getComputedStyle(one);
    if (look.display === 'none' || one.tagName === 'desc' || one.tagName === 'title') continue;
    if (words) see(one, one.closest('svg') ? look.fill : look.color, 4.5);
    if (one.matches('svg .line > path')) see(one, look.stroke, 3);
    if (one.matches('svg .mark use, svg .fill > path')) see(one, look.fill, 3);
    if (one.matches('.swatch, .sign')) see(one, look.color, 3, one.parentElement);
  }
  return [...found];
})()
"""
"""Words of less than 4.5 : 1 before what is behind them, pictures of less than 3 : 1 (WCAG 2.2, 1.4.3 and 1.4.11)."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from started()


def full() -> JobReport:
    """Eight parties, one of which has a long name, and more of everything than fits on a screen."""
    names = (*NAMES, LONG, *(f"party_{at}" for at in range(4)))
    entries = tuple(
        entry("rejected_uplink", "structural", names[at % 8], "RECIPIENT_NOT_ON_ROSTER", "gradients, round 7", at)
        for at in range(90)
    )
    kinds: tuple[tuple[What, Category], ...] = (
        ("fault", "provable"), ("flag", "statistical"), ("vote_revealed", "vote"), ("audit_outcome", "audit"),
        ("overturned", "overturned"), ("strike", "standing"), ("aborted", "claim"),
    )  # fmt: skip
    others = tuple(entry(*kind, LONG, "STATISTIC_CHALLENGED", "x" * 90, 95) for kind in kinds)
    return report(names=names, rounds=60, text="why " * 40, anomalies=entries + others, ended="because " * 30)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("report") / "report.html"
    made.write_text(render(full()), encoding="utf-8")
    return made


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_asks_for_nothing_and_fits_and_can_be_read(browser: Browser, page: Path, width: int, scheme: str) -> None:
    browser.open(page, width=width, scheme=scheme)

    assert browser.requests() == [page.as_uri()]
    assert browser.tell("document.scripts.length") == 0
    assert [one for one in browser.events if one.get("method") == "Log.entryAdded"] == []  # what its policy refused
    assert browser.tell(OVERFLOW) <= 0
    assert browser.tell(CUT) == []
    assert browser.tell(FAINT) == []
    dark = browser.tell("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    assert dark == (scheme == "dark")


@pytest.mark.parametrize("width", [390, 1280])
def test_pictures_and_tables_are_read_aloud(browser: Browser, page: Path, width: int) -> None:
    browser.open(page, width=width)
    nodes = [one for one in browser.ask("Accessibility.getFullAXTree")["nodes"] if not one["ignored"]]

    def named(*roles: str) -> list[str]:
        return [one["name"]["value"] for one in nodes if one["role"]["value"] in roles]

    pictures = [one for one in nodes if one["role"]["value"] in ("image", "img")]
    assert len(pictures) == 4  # of the two widths, one
    for one in pictures:
        assert len(one["name"]["value"].split()) > 5, one["name"]
    assert len(named("table")) == 8
    assert all(named("table"))
    assert named("heading")[0].startswith("churn")


def test_nothing_gets_through_its_policy(browser: Browser, tmp_path: Path) -> None:
    """A page that something got into all the same: no script runs, and nothing is asked for."""
    bad = tmp_path / "bad.html"
    added = "<script>document.title = 'ran'</script><img src='http://127.0.0.1:9/x' onerror='document.title = 1'>"
    bad.write_text(render(report()).replace("<main>", "<main>" + added), encoding="utf-8")
    browser.open(bad, width=1280)

    assert browser.tell("document.title").startswith("churn: report of job")
    assert browser.requests() == [bad.as_uri()]


def test_on_paper_nothing_is_cut_and_nothing_has_to_be_scrolled(browser: Browser, page: Path) -> None:
    browser.open(page, width=PAPER, media="print", scheme="dark")

    assert browser.tell(OVERFLOW) <= 0
    hidden = "[...document.querySelectorAll('.table')].filter(one => one.scrollHeight > one.clientHeight + 1).length"
    assert browser.tell(hidden) == 0
    assert browser.tell(FAINT) == []
    assert browser.tell("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    rows = (
        "[...document.querySelectorAll('.long')].map(one => "
        "[...one.querySelectorAll('tbody tr')].filter(row => row.offsetHeight).length)"
    )
    assert max(browser.tell(rows)) == MOST_PRINTED
    assert browser.tell("document.body.innerText.includes('the page itself has 97')")
    printed = base64.b64decode(browser.ask("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)["data"])
    assert 5 <= printed.count(b"/Type /Page\n") <= 12
