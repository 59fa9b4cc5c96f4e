"""Rates from findings: who was found by what, and who was accused that should not be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fedchain.anomaly.robust import MIN_VALUES
from fedchain.bench.anomaly_jobs import OPENED_ROWS
from fedchain.simulation.adversaries.registry import FAST, FAULTS, FLAGGED, WEAK, FaultKind
from fedchain.simulation.adversaries.sums import DroppedRows, HistogramAdversary
from fedchain.simulation.trial import Findings
from fedchain.types import Reason

HONEST, TAMPERED = "honest", "tampered_rows"
MISSED = (Reason.MISSING.name, Reason.DEADLINE_MISSED.name)
FAMILIES = ("provable", "structural", "histogram", "free_rider", "label_holder")
_NAMES_NOBODY = (Reason.STATISTIC_OUTLIER.name,)
_Z95 = 1.959964


def table(findings: Mapping[tuple[str, int], Findings], alpha: float) -> dict[str, float]:
    """The metrics of `fedchain.bench.anomaly.run`, but for audits."""
    metrics: dict[str, float] = {}
    by_family: dict[str, list[bool]] = {}
    for name, kind in FAULTS.items():
        runs = [one for (of, _), one in findings.items() if of == name]
        if not runs:
            continue
        found = [is_found(one, kind, alpha) for one in runs]
        by_family.setdefault(kind.family, []).extend(found)
        metrics |= rate(name, found)
        if name == TAMPERED:
            metrics[f"expected_{name}"] = float(np.mean([_chance(one) for one in runs]))
        if issubclass(kind.adversary, (HistogramAdversary, DroppedRows)):
            metrics[f"without_effect_{name}"] = sum(one.without_effect for one in runs)
        metrics[f"other_{name}"] = sum(not hit and names_culprit(one) for hit, one in zip(found, runs, strict=True))
    for family in FAMILIES:
        if family in by_family:
            metrics |= rate(family, by_family[family])
    everything = list(findings.values())
    metrics["honest_suspensions"] = sum(party != one.culprit for one in everything for party in one.suspended)
    metrics["honest_accused"] = sum(len(wrongly_accused(one)) for one in everything)
    metrics["named_with_an_honest_party"] = sum(one.culprit in one.named and len(one.named) > 1 for one in everything)
    metrics["honest_deadline_misses"] = sum(
        party != one.culprit and reason in MISSED for one in everything for party, reason, _, _ in one.faults
    )
    honest = [one for (name, _), one in findings.items() if name == HONEST]
    if honest:
        metrics |= _honest(honest, alpha)
    return metrics


def rate(name: str, found: Sequence[bool]) -> dict[str, float]:
    """Share, number, and the lower end of its 95 % interval (Wilson)."""
    runs, share = len(found), float(np.mean(found))
    square = _Z95**2 / runs
    low = share + square / 2 - _Z95 * math.sqrt(share * (1 - share) / runs + square / (4 * runs))
    return {f"tpr_{name}": share, f"runs_{name}": runs, f"low95_{name}": max(0.0, low / (1 + square))}


def _chance(one: Findings) -> float:
    """That a tampered row is among those that an audit opens: 1 - C(n - t, k) / C(n, k)."""
    rows, lies = int(one.amplitude["rows"]), int(one.amplitude["tampered"])
    opened = min(OPENED_ROWS, rows)
    return 1 - math.comb(rows - lies, opened) / math.comb(rows, opened)


def _honest(runs: list[Findings], alpha: float) -> dict[str, float]:
    rounds = sum(one.rounds for one in runs)
    scored = sum(max(0, one.rounds - MIN_VALUES) for one in runs)
    marked = sum(
        len({round for _, round in one.flags} | {round for _, reason, _, round in one.faults if reason not in MISSED})
        for one in runs
    )
    missed = sum(len({round for _, reason, _, round in one.faults if reason in MISSED}) for one in runs)
    p_values = [p for one in runs for p in one.p_values.values()]
    powers = [power for one in runs for power in one.powers.values()]
    answers = max(1, sum(one.answers for one in runs))
    return {
        "honest_runs": len(runs),
        "honest_completed": sum(one.ended == "completed" for one in runs),
        "honest_rounds": rounds,
        "honest_flags": sum(len(one.flags) for one in runs),
        "honest_rounds_missed": missed / max(rounds, 1),
        "honest_rounds_retried": sum(one.retried for one in runs) / max(rounds, 1),
        "fpr_honest_rounds": marked / max(rounds, 1),
        "fpr_honest_scored_rounds": marked / max(scored, 1),
        "fpr_soft": sum(len(one.soft) for one in runs) / answers,
        "fpr_hard": sum(len(one.hard) for one in runs) / answers,
        "fpr_fast": sum(len(one.fast) for one in runs) / answers,
        "honest_weak": float(np.mean([p > alpha for p in p_values])) if p_values else 0.0,
        "free_rider_power_published": float(np.mean(powers)) if powers else 0.0,
    }


def is_found(one: Findings, kind: FaultKind, alpha: float) -> bool:
    """Whether the party at fault was found by what the fault is to be found by, and nobody else was accused."""
    if wrongly_accused(one):
        return False
    culprit = one.culprit
    ways = {reason for party, reason, _, _ in one.faults if party == culprit and reason not in _NAMES_NOBODY}
    if culprit in one.named:
        ways.add(one.ended)
    if one.p_values.get(culprit, 0.0) > alpha:
        ways.add(WEAK)
    if any(party == culprit for party, _ in one.flags):
        ways.add(FLAGGED)
    if culprit in one.fast:
        ways.add(FAST)
    return bool(ways & set(kind.found))


def names_culprit(one: Findings) -> bool:
    """Whether anything names the party at fault."""
    return one.culprit in one.named or any(
        party == one.culprit and reason not in _NAMES_NOBODY for party, reason, _, _ in one.faults
    )


def wrongly_accused(one: Findings) -> set[str]:
    """Honest parties that a fault names, or an error that does not name the party at fault.

    A deadline that was missed is what it is. Where an error can only say that one of two copied the other
    (`named_with_an_honest_party`), it accuses neither.
    """
    named = set() if one.culprit in one.named else set(one.named)
    recorded = {
        party for party, reason, _, _ in one.faults if party != one.culprit and reason not in (*MISSED, *_NAMES_NOBODY)
    }
    if one.ended in ("DeadlineError",):  # a round that stragglers failed three times
        named = set()
    return named | recorded
