"""The pictures of a report, drawn by matplotlib. Each is drawn twice: for a page, and for a telephone's width.

Colour alone tells nothing: parties differ by dash and marker too, categories by marker, and a table with the same
numbers stands beside each picture. Words that come from a job are only drawn as text, never as mathematics or markup.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedchain.node.anomalies import CATEGORIES, Anomaly, Category
from fedchain.node.reporting.facts import E6, ContributionFacts, JobReport, PartyLine, Span
from fedchain.node.reporting.words import duration, elapsed_unit, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2, 1, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""By party; of the anomalies, by category."""

_PAGE_INCHES, _PHONE_INCHES = 7.6, 3.9
_MOST_BARS = 120
MOST_MARKS = 400
"""Entries that the timeline draws one by one; of more, those of a party, a category and about one time together."""
_PAGE_MARKS, _PHONE_MARKS = 70, 35
"""So many marks fit side by side."""
_LONGEST_NAME = {False: 24, True: 12}


@dataclass(frozen=True)
class Chart:
    """A picture.

    Attributes:
        page, phone: `<svg>` elements.
    """

    page: str
    phone: str


@dataclass(frozen=True)
class _Sheet:
    """A figure while it is drawn; `titles` are shown when somebody points at an artist."""

    figure: Figure
    axes: Axes
    titles: dict[str, str]
    phone: bool

    def mark(self, artist: Any, classes: str, title: str = "") -> None:
        """Give an artist classes of the style sheet, and a title."""
        gid = f"fc-{classes}"
        if title:
            gid += f" @{len(self.titles)}"
            self.titles[gid] = title
        artist.set_gid(gid)


def running_chart(facts: ContributionFacts) -> Chart | None:
    """Shares after each round; None where the job does not tell them."""
    running = facts.running
    if running is None or not running.rounds:
        return None
    names = [line.party for line in facts.shares]

    def draw(sheet: _Sheet) -> None:
        axes = sheet.axes
        for party, name in enumerate(names):
            values = [shares[party] / E6 for shares in running.shares_e6]
            every = max(1, len(values) // 8)
            (line,) = axes.plot(
                running.rounds, values, linestyle=DASHES[party], marker=MARKERS[party], markevery=every,
                markersize=4.5, linewidth=1.8,
            )  # fmt: skip
            sheet.mark(line, f"line party-{party}", f"{name}: {values[-1]:+.6f} after round {running.rounds[-1]}")
        axes.set_xlabel("round")
        axes.set_ylabel("share")
        axes.margins(x=0.02)
        _whole_numbers(axes)

    last = ", ".join(f"{line.party} {line.share_e6 / E6:+.6f}" for line in facts.shares)
    return _chart(draw, "running", "Contributions over rounds", f"Lines over rounds; at the end {last}.", height=3.1)


def shares_chart(facts: ContributionFacts) -> Chart:
    """Parts of the whole gain by party, and of the split gain beside them where the job tells it."""
    lines = facts.shares
    gains = [line.split_gain for line in lines]
    told = all(gain is not None for gain in gains)

    def draw(sheet: _Sheet) -> None:
        axes = sheet.axes
        height = 0.36 if told else 0.6
        for at, line in enumerate(lines):
            offset = height / 2 if told else 0.0
            (bar,) = axes.barh(at - offset, 100 * line.part, height)
            sheet.mark(bar, f"fill party-{at}", f"{line.party}: part {line.part:.1%} (Shapley)")
            _value(sheet, 100 * line.part, at - offset)
            if told and line.split_gain is not None:
                (other,) = axes.barh(at + offset, 100 * line.split_gain, height, hatch="////")
                sheet.mark(other, "gain", f"{line.party}: {line.split_gain:.1%} of the split gain (gameable)")
                _value(sheet, 100 * line.split_gain, at + offset)
        axes.set_yticks(range(len(lines)), [_cut(line.party, sheet.phone) for line in lines])
        axes.invert_yaxis()
        axes.set_xlabel("part, percent")
        axes.margins(x=0.14)
        sheet.mark(axes.axvline(0, linewidth=1), "axis")
        axes.grid(axis="y", visible=False)

    spoken = "; ".join(
        f"{line.party} {line.part:.1%}" + ("" if line.split_gain is None else f", split gain {line.split_gain:.1%}")
        for line in lines
    )
    return _chart(draw, "shares", "Final shares by party, as parts", f"Bars: {spoken}.", height=0.9 + 0.62 * len(lines))


def timeline_chart(report: JobReport) -> Chart | None:
    """Anomalies over the time since the proposal, by party; None where there are none."""
    entries = report.anomalies
    if not entries:
        return None
    rows = [party.name for party in report.parties]
    rows += sorted({one.party for one in entries} - set(rows))
    last = max(report.time, *(one.time for one in entries))
    unit, seconds = elapsed_unit(last - report.begun)

    def draw(sheet: _Sheet) -> None:
        axes = sheet.axes
        for row in range(len(rows)):
            sheet.mark(axes.axhline(row, linewidth=1), "grid")
        whole, columns = max(1, last - report.begun), _PHONE_MARKS if sheet.phone else _PAGE_MARKS
        taken: Counter[tuple[int, int]] = Counter()
        for party, category, at, title in _marks(entries, report.begun, whole, columns):
            row = rows.index(party)
            place = (row, round(at * columns))  # marks that would lie on each other are drawn as a pile
            above = taken[place]
            taken[place] += 1
            (mark,) = axes.plot(
                at * whole / seconds, row - 0.13 * min(above, 4), marker=MARKERS[CATEGORIES.index(category)],
                markersize=11 if category == "claim" else 7, linestyle="none", clip_on=False,
            )  # fmt: skip
            sheet.mark(mark, f"mark category-{category}", title)
        axes.set_yticks(range(len(rows)), [_cut(name, sheet.phone) for name in rows])
        axes.set_ylim(len(rows) - 0.5, -0.75)
        axes.set_xlim(0, whole / seconds)
        axes.set_xlabel(f"{unit} since the proposal")
        axes.grid(axis="y", visible=False)

    about = f"{len(entries)} entries; the table below has them in order."
    return _chart(draw, "timeline", "Anomalies over time, by party", about, height=0.9 + 0.55 * len(rows))


def _marks(
    entries: Sequence[Anomaly], begun: int, whole: int, columns: int
) -> Iterator[tuple[str, Category, float, str]]:
    """What the timeline draws: party, category, time in parts of the whole, and words for whoever points at it."""
    if len(entries) <= MOST_MARKS:
        for one in entries:
            yield one.party, one.category, (one.time - begun) / whole, spoken_anomaly(one)
        return
    together = Counter((one.party, one.category, round((one.time - begun) / whole * columns)) for one in entries)
    for (party, category, column), count in together.items():
        yield party, category, column / columns, printable(f"{party}: {count} of category {category} about then")


def durations_chart(spans: Sequence[Span]) -> Chart | None:
    """How long each stage took; None where none has ended."""
    ended = [one for one in spans if one.seconds is not None]
    if not ended:
        return None
    unit, seconds = elapsed_unit(max(one.seconds or 0 for one in ended))

    def draw(sheet: _Sheet) -> None:
        axes = sheet.axes
        places, values = range(len(ended)), [(one.seconds or 0) / seconds for one in ended]
        if len(ended) > _MOST_BARS:
            filled = axes.fill_between(places, values, step="mid", linewidth=0)
            sheet.mark(filled, "fill stage-round")
        else:
            for place, one, value in zip(places, ended, values, strict=True):
                (bar,) = axes.bar(place, value, 0.8, hatch="////" if one.attempt else "")
                sheet.mark(
                    bar,
                    "hatch stage-again" if one.attempt else f"fill stage-{one.what}",
                    f"{stage(one)}: {duration(one.seconds or 0)}",
                )
        _stage_ticks(axes, ended, sheet.phone)
        axes.set_ylim(0, max(1.0, 1.05 * max(values)))
        axes.set_ylabel(unit)
        axes.margins(x=0.01)
        axes.grid(axis="x", visible=False)

    longest = max(ended, key=lambda one: one.seconds or 0)
    about = f"{len(ended)} stages that have ended; the longest is {stage(longest)}, {duration(longest.seconds or 0)}."
    return _chart(draw, "durations", "How long each stage took", about, height=2.6)


def stage(span: Span) -> str:
    """A stage in words."""
    if span.what != "round":
        return span.what
    return f"round {span.round}" + (f", attempt {span.attempt}" if span.attempt else "")


def spoken_anomaly(one: Anomaly) -> str:
    """An anomaly in one line."""
    words = " ".join(word for word in (one.what.replace("_", " "), one.reason) if word)
    return printable(f"{one.party}: {words}" + (f" ({one.detail})" if one.detail else ""))


def party_class(parties: Sequence[PartyLine], name: str) -> str:
    """The style class of a party's colour, empty for strangers."""
    names = [party.name for party in parties]
    return f"party-{names.index(name)}" if name in names else ""


def _chart(draw: Callable[[_Sheet], None], key: str, title: str, description: str, *, height: float) -> Chart:
    from fedchain.node.reporting.svg import drawn

    def one(phone: bool) -> str:
        sheet = _sheet(_PHONE_INCHES if phone else _PAGE_INCHES, height, phone)
        draw(sheet)
        _finish(sheet)
        return drawn(sheet.figure, f"{key}-{'phone' if phone else 'page'}", title, description, sheet.titles)

    return Chart(one(phone=False), one(phone=True))


def _sheet(width: float, height: float, phone: bool) -> _Sheet:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    axes.grid(visible=True, linewidth=0.7)
    return _Sheet(figure, axes, {}, phone)


def _finish(sheet: _Sheet) -> None:
    """Leave out what says nothing; what is left takes its colour from the page."""
    axes = sheet.axes
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        sheet.mark(spine, "axis")
    axes.tick_params(length=0, labelsize=9)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_fontsize(9)
    for line in (*axes.get_xgridlines(), *axes.get_ygridlines()):
        sheet.mark(line, "grid")
    for text in (*axes.get_xticklabels(), *axes.get_yticklabels(), *axes.texts):
        text.set_parse_math(False)


def _value(sheet: _Sheet, percent: float, at: float) -> None:
    """A bar's value behind its end."""
    sheet.axes.annotate(
        f"{percent:.1f}", (percent, at), xytext=(4 if percent >= 0 else -4, 0), textcoords="offset points",
        ha="left" if percent >= 0 else "right", va="center", fontsize=8.5,
    )  # fmt: skip


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _stage_ticks(axes: Axes, spans: Sequence[Span], phone: bool) -> None:
    """Every so many rounds by number; the other stages by their first letters, explained below the picture."""
    rounds = [place for place, one in enumerate(spans) if one.what == "round" and not one.attempt]
    most = 6 if phone else 12
    every = max(1, -(-len(rounds) // most))
    places = rounds[::every]
    axes.set_xticks(places, [str(spans[place].round) for place in places])
    axes.set_xlabel("round (other stages beside them)" if len(spans) > len(rounds) else "round")


def _cut(name: str, phone: bool) -> str:
    most = _LONGEST_NAME[phone]
    return name if len(name) <= most else name[: most - 1] + "…"
