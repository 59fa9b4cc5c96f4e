"""A report's facts with everything in them."""

from __future__ import annotations

from typing import Any

from fedchain.node.anomalies import Anomaly, Category, What
from fedchain.node.reporting.facts import (
    AuditFacts,
    AuditVote,
    ContributionFacts,
    JobReport,
    PartyLine,
    Running,
    ShareLine,
    Span,
)
from fedchain.node.settlements import JobSettlement, PointsLine
from fedchain.types import JobId

BEGUN = 1_790_000_000
NAMES = ("operator", "media_partner", "bank")


def entry(what: What, category: Category, party: str, reason: str = "", detail: str = "", seconds: int = 60) -> Anomaly:
    return Anomaly(what, category, party, reason, detail, 100 + seconds, BEGUN + seconds, "0x" + "00" * 32)


def contribution(names: tuple[str, ...] = NAMES, rounds: int = 3) -> ContributionFacts:
    shares = [60_000 - 30_000 * at for at in range(len(names))]
    lines = tuple(
        ShareLine(name, share, share / sum(shares), 1 / len(names), 0.01 if at else None, 0.9 if at else None)
        for at, (name, share) in enumerate(zip(names, shares, strict=True))
    )
    running = Running(
        tuple(range(1, rounds + 1)),
        tuple(tuple(share * done // rounds for share in shares) for done in range(1, rounds + 1)),
    )
    return ContributionFacts(-150_000, -150_000 - sum(shares), 6000, lines, running, 900)


def report(names: tuple[str, ...] = NAMES, rounds: int = 3, text: str = "why", **changes: Any) -> JobReport:
    """Text is what people wrote: reasons of aborts, disputes, overturns."""
    spans = [
        Span("acceptance", 0, 0, BEGUN, BEGUN + 9, 0, 0, 0),
        Span("alignment", 0, 0, BEGUN + 9, BEGUN + 99, 9, 0, 9),
    ]
    votes = (AuditVote(names[1], "false", "losses"),)
    lines = tuple(PointsLine(name, 100 // len(names), "") for name in names)
    spans += [Span("round", one, 0, BEGUN + 99 + one, BEGUN + 100 + one, 6, 0, 500) for one in range(1, rounds + 1)]
    values: dict[str, Any] = {
        "job_id": JobId("0x" + "5c" * 32),
        "name": "churn",
        "chain_id": 1337,
        "phase": "completed",
        "ended": "",
        "block": 1000,
        "time": BEGUN + 1000,
        "begun": BEGUN,
        "rounds_done": rounds,
        "model_digest": "cd" * 32,
        "parties": tuple(
            PartyLine(name, "0x" + f"{at}" * 40, "passive" if at else "active", "accredited", at)
            for at, name in enumerate(names)
        ),
        "contribution": contribution(names, rounds),
        "audit": AuditFacts(
            "disputed", "concluded", 6000, 299, (1,) * len(names), votes, (), (), "ab" * 32
        ),
        "settlement": JobSettlement(
            "disputed", 100, lines, BEGUN, BEGUN + 9, names[-1], text, ""
        ),
        "spans": tuple(spans),
        "anomalies": (
            entry("rejected_uplink", "structural", names[-1], "WRONG_ROUND", "histogram, round 1"),
            entry("overturned", "overturned", names[-1], text, "fault 1", 90),
        ),
        "notes": (),
    }  # fmt: skip
    return JobReport(**(values | changes))
