"""The page: what people wrote stays text, little and much fit on it, and it is the same each time."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from fedchain.errors import ConfigError
from fedchain.node.anomalies import CATEGORIES, Anomaly, Category, What, counts_by_party
from fedchain.node.reporting import charts, page
from fedchain.node.reporting.facts import Running, Span
from fedchain.node.reporting.page import render
from fedchain.node.settlements import JobSettlement, PointsLine
from tests.unit.node.reporting.facts import BEGUN, NAMES, contribution, entry, report

NASTY = "<script>alert(1)</script> </style><img src=x onerror=alert(1)> \"'& $x_1$ {{ 7 * 7 }} ]]> \u202e\u0000é"


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()
        self.handlers: list[str] = []
        self.words = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag] += 1
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.words += data


def test_what_people_wrote_is_text_and_nothing_else() -> None:
    plain = Tags(render(report()))
    nasty = Tags(render(report(text=NASTY, ended=NASTY, phase="aborted")))
    assert nasty.found["script"] == nasty.found["img"] == 0
    assert nasty.handlers == []
    assert nasty.found["style"] == plain.found["style"] == 1
    assert nasty.words.count("<script>alert(1)</script>") >= 3  # why it ended, the dispute, what was overturned
    assert "{{ 7 * 7 }}" in nasty.words
    assert "\u0000" not in nasty.words


def test_names_that_matplotlib_could_take_for_mathematics_are_text() -> None:
    text = render(report(names=("$\\frac{$", "a_b$c$", "<i>x</i>")))
    assert "$\\frac{$" in text
    assert "<i>x" not in text


def test_the_same_facts_give_the_same_page() -> None:
    assert render(report()) == render(report())


def test_ids_are_there_once_and_pictures_have_a_title_and_a_description() -> None:
    text = render(report())
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    pictures = re.findall(r'<svg[^>]*aria-labelledby="([^"]+)"', text)
    assert len(pictures) == 8  # four, each for a page and for a telephone
    for labels in pictures:
        assert all(f'id="{label}"' in text for label in labels.split())
    for reference in re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", text):
        assert (reference[0] or reference[1]) in ids


def test_colours_come_from_the_page() -> None:
    """matplotlib's own would not change with light and dark."""
    text = render(report())
    for name in ("party-0", "party-2", "category-structural", "stage-round", "gain", "grid", "axis"):
        assert re.search(rf'class="[^"]*\b{name}\b', text), name
        assert re.search(rf"\.{name}\b", text), name


def test_a_job_of_which_nothing_is_known_yet_is_a_page_too() -> None:
    nothing: dict[str, Any] = {
        "name": "", "phase": "proposed", "contribution": None, "audit": None, "settlement": None, "anomalies": (),
        "model_digest": "", "rounds_done": 0,
    }  # fmt: skip
    words = Tags(render(report(spans=(Span("acceptance", 0, 0, BEGUN, None, 0, 0, 0),), **nothing))).words
    assert "the job is proposed" in words
    assert "no uplink was rejected" in words
    assert "under way" in words


def test_what_the_active_party_did_not_tell_is_left_out() -> None:
    facts = contribution()
    shares = tuple(type(line)(line.party, line.share_e6, line.part) for line in facts.shares)
    bare = type(facts)(facts.full_e6, facts.empty_e6, None, shares, None, facts.block)
    text = render(report(contribution=bare, audit=None))
    assert "gameable" not in text
    assert "Over rounds" not in text
    assert "held-out rows, by" not in text
    assert "held-out rows, by block permutation: Shapley" in render(
        report(contribution=replace(bare, method="block-permutation"))
    )
    assert "they are what the active party recorded" in text


def test_shares_of_a_model_that_gains_nothing_are_drawn() -> None:
    facts = contribution()
    shares = tuple(type(line)(line.party, 0, 0.0, 0.0) for line in facts.shares)
    flat = type(facts)(-1, -1, 10, shares, Running((1,), ((0, 0, 0),)), 1)
    assert "<svg" in render(report(contribution=flat))


def test_much_is_bounded_and_what_is_left_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_ROWS", 20)
    many = tuple(entry("strike", "standing", NAMES[1], "SLOT_TAKEN", seconds=one) for one in range(500))
    eight = tuple(f"party_{at}" for at in range(8))
    text = render(report(names=eight, rounds=400, anomalies=many))
    assert "480 more" in text
    assert "382 more stages" in text
    assert "500 of category standing" not in text  # they are not all of one time
    assert "A mark stands for all entries" in text
    drawn = re.findall(r"<title>media_partner: (\d+) of category standing about then</title>", text)
    assert sum(map(int, drawn)) == 2 * 500  # for a page and for a telephone
    assert len(drawn) < 120
    assert text.count("<tr>") < 600
    assert len(text) < 2_000_000


def test_on_paper_the_style_sheet_hides_what_the_page_says_it_does() -> None:
    text = render(report(rounds=60))
    assert f"nth-child(n + {page.MOST_PRINTED + 1})" in text
    assert text.count(f"Printed are the first {page.MOST_PRINTED}; the page itself has ") == 2
    assert "the page itself has 62." in text  # stages


def test_what_an_audit_has_not_opened_is_not_said_to_be_open() -> None:
    audit = report().audit
    assert audit is not None
    for stage, seed, expected in (
        ("frozen", "", "rows are to be opened"),
        ("concluded", "", "rows were not opened"),
        ("concluded", "ab" * 32, "held-out rows were opened"),
    ):
        words = " ".join(Tags(render(report(audit=replace(audit, stage=stage, seed=seed)))).words.split())
        assert expected in words, expected
        assert ("299 rows opened" in words) == bool(seed)


def test_withheld_points_do_not_look_paid() -> None:
    lines = (PointsLine("bank", 14, "failed the free-rider test"), PointsLine("operator", 86, ""))
    settled = JobSettlement("disputed", 100, lines, BEGUN, BEGUN + 9, "bank", "why", "")
    text = " ".join(re.sub(r"<[^>]*>", " ", render(report(settlement=settled))).split())
    assert "bank 0 14 14.0% failed" in text
    assert "operator 86 – 86.0% –" in text
    assert "disputable until" not in text
    assert "Nothing counts until the stewards have decided" in text


def test_stages_that_took_no_time_stand_on_their_axis() -> None:
    spans = tuple(Span("round", one, 0, BEGUN, BEGUN, 0, 0, 0) for one in range(1, 4))
    assert "−0.0" not in render(report(spans=spans, contribution=None))


def test_where_nothing_can_be_drawn_with_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "find_spec", lambda name: None if name == "matplotlib" else object())
    with pytest.raises(ConfigError, match=r"fedchain\[report\]"):
        render(report())


def test_an_uplink_and_the_fault_of_it_are_one_incident() -> None:
    def of(what: What, transaction: str, category: Category = "structural", reason: str = "WRONG_ROUND") -> Anomaly:
        return Anomaly(what, category, "bank", reason, "", 1, 1, transaction)

    found = counts_by_party(
        [
            of("rejected_uplink", "0x1"), of("fault", "0x1"), of("strike", "0x1", "standing"),
            of("rejected_uplink", "0x2"), of("rejected_uplink", "0x2"), of("fault", "0x2"), of("fault", "0x2"),
            of("rejected_uplink", "0x3"), of("fault", "0x3", reason="SLOT_TAKEN"),
        ],
        ("bank",),
    )  # fmt: skip
    assert found["bank"] == Counter({"structural": 5, "standing": 1})


def test_votes_are_nobody_s_mark_and_strangers_are_counted() -> None:
    found = counts_by_party(
        [
            entry("vote_revealed", "vote", "bank", "false"),
            entry("aborted", "claim", "bank", "media_partner lies"),
            entry("flag", "statistical", "operator"),
            entry("rejected_uplink", "structural", "0xstranger"),
        ],
        NAMES,
    )
    assert list(found) == [*NAMES, "0xstranger"]
    assert found["bank"] == Counter()
    assert found["operator"] == Counter({"statistical": 1})
    assert len(page._MARKS) == len(charts.MARKERS)
    assert len(page._MARKS) == len(CATEGORIES)
