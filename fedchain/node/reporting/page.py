"""From what is known of a job to one HTML file that needs nothing else: no network, no script, no font, no picture.

What comes from a job (names, reasons, texts of stewards) is never markup: the template escapes it, and the page's own
policy forbids scripts and requests for the case that something gets through.
"""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec

from fedchain.errors import ConfigError
from fedchain.node.anomalies import CATEGORIES, NOBODYS_MARK, counts_by_party
from fedchain.node.reporting import charts, words
from fedchain.node.reporting.facts import E6, JobReport

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content-Security-Policy of the page, for its own head and for whoever serves it."""

MOST_ROWS = 1000
"""Of one table; what is beyond them is counted, and `fedchain anomalies` or `fedchain report --json` shows it."""

MOST_PRINTED = 50
"""Of one table on paper, where nobody scrolls; the style sheet hides the rest."""

MISSING = "drawing a report needs matplotlib and Jinja; install them with `pip install 'fedchain[report]'`"
"""What is said where they are not there."""

_PLACE = "fedchain.node.reporting"
_MARKS = dict(zip(CATEGORIES, ("●", "■", "▲", "◆", "▼", "✚", "✖", "★"), strict=True))


def can_draw() -> bool:
    """Whether what a report is drawn with is installed."""
    return all(find_spec(name) is not None for name in ("jinja2", "matplotlib"))


def render(report: JobReport) -> str:
    """The page. The same facts give the same page.

    Raises:
        ConfigError: matplotlib or Jinja is not installed.
    """
    if not can_draw():
        raise ConfigError(MISSING)
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader(_PLACE, ""), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: words.printable(value) if type(value) is str else value,
    )  # fmt: skip
    environment.filters |= {
        "e6": lambda value: f"{value / E6:+.6f}",
        "plain_e6": lambda value: f"{value / E6:.6f}",
        "percent": lambda value: f"{value:.1%}",
        "utc": words.utc,
        "duration": words.duration,
        "number": lambda value: f"{value:,}",
        "name": lambda value: Markup("_<wbr>").join(words.printable(value).split("_")),
    }
    names = [party.name for party in report.parties]
    contribution = report.contribution
    ended = [span for span in report.spans if span.seconds is not None]
    return environment.get_template("report.html").render(
        report=report,
        policy=POLICY,
        style=Markup((files(_PLACE) / "report.css").read_text(encoding="utf-8")),
        version=version("fedchain"),
        charts={
            "running": None if contribution is None else _safe(charts.running_chart(contribution)),
            "shares": None if contribution is None else _safe(charts.shares_chart(contribution)),
            "timeline": _safe(charts.timeline_chart(report)),
            "durations": _safe(charts.durations_chart(report.spans)),
        },
        categories=CATEGORIES,
        counted=[one for one in CATEGORIES if one not in NOBODYS_MARK],
        marks=_MARKS,
        seen=Counter(one.category for one in report.anomalies),
        counts=counts_by_party(report.anomalies, names),
        party_class={name: f"party-{at}" for at, name in enumerate(names)},
        dashes=("solid", "dashed", "dash-dot", "dotted", "long dash", "dash dot dot", "fine dots", "long dash dot"),
        stage=charts.stage,
        methods=words.METHODS,
        most_marks=charts.MOST_MARKS,
        most_printed=MOST_PRINTED,
        anomalies=report.anomalies[:MOST_ROWS],
        spans=report.spans[:MOST_ROWS],
        took=sum(span.seconds or 0 for span in ended),
        running_rows=[] if contribution is None or contribution.running is None else list(
            zip(contribution.running.rounds, contribution.running.shares_e6, strict=True)
        ),
    )  # fmt: skip


def _safe(chart: charts.Chart | None) -> dict[str, object] | None:
    """An `<svg>` that this program drew: its texts are escaped already."""
    from markupsafe import Markup

    return None if chart is None else {"page": Markup(chart.page), "phone": Markup(chart.phone)}
