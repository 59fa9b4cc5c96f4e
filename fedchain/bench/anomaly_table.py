"""Rates from findings: who was found by what, and who was accused that should not be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fedchain.anomaly.robust import MIN_VALUES
from fedchain.simulation.adversaries.registry import FAULTS, FaultKind
from fedchain.simulation.trial import Findings
from fedchain.types import Reason

MISSED = (Reason.MISSING.name, Reason.DEADLINE_MISSED.name)
_NAMES_NOBODY = (Reason.STATISTIC_OUTLIER.name,)


def table(findings: Mapping[tuple[str, int], Findings], alpha: float) -> dict[str, float]:
    """The metrics of `fedchain.bench.anomaly.run`, but for audits."""
    metrics: dict[str, float] = {}
    for name, kind in FAULTS.items():
        runs = [one for (of, _), one in findings.items() if of == name]
        if runs:
            metrics[f"tpr_{name}"] = float(np.mean([is_found(one, kind, alpha) for one in runs]))
            metrics[f"runs_{name}"] = len(runs)
    everything = list(findings.values())
    metrics["honest_suspensions"] = sum(party != one.culprit for one in everything for party in one.suspended)
    metrics["honest_accused"] = sum(len(wrongly_accused(one)) for one in everything)
    metrics["honest_deadline_misses"] = sum(
        party != one.culprit and reason in MISSED for one in everything for party, reason, _, _ in one.faults
    )
    honest = [one for (name, _), one in findings.items() if name == "honest"]
    if honest:
        metrics |= _honest(honest, alpha)
    return metrics


def _honest(runs: list[Findings], alpha: float) -> dict[str, float]:
    rounds = sum(one.rounds for one in runs)
    scored = sum(max(0, one.rounds - MIN_VALUES) for one in runs)
    marked = sum(len({round for _, round in one.flags} | {fault[3] for fault in one.faults}) for one in runs)
    p_values = [p for one in runs for p in one.p_values.values()]
    powers = [power for one in runs for power in one.powers.values()]
    return {
        "honest_runs": len(runs),
        "honest_completed": sum(one.ended == "completed" for one in runs),
        "honest_rounds": rounds,
        "honest_flags": sum(len(one.flags) for one in runs),
        "fpr_honest_rounds": marked / max(rounds, 1),
        "fpr_honest_scored_rounds": marked / max(scored, 1),
        "honest_weak": float(np.mean([p > alpha for p in p_values])) if p_values else 0.0,
        "free_rider_power_published": float(np.mean(powers)) if powers else 0.0,
        "free_rider_power_found": float(np.mean([p <= alpha for p in p_values])) if p_values else 0.0,
    }


def is_found(one: Findings, kind: FaultKind, alpha: float) -> bool:
    """Whether the party at fault was found by what the fault is to be found by, and nobody else was accused."""
    if wrongly_accused(one):
        return False
    culprit = one.culprit
    by_chain = any(party == culprit and reason not in _NAMES_NOBODY for party, reason, _, _ in one.faults)
    found = {
        "chain": by_chain,
        "check": culprit in one.named,
        "test": one.p_values.get(culprit, 0.0) > alpha,
        "flag": any(party == culprit for party, _ in one.flags),
    }
    return any(found[way] for way in kind.found)


def wrongly_accused(one: Findings) -> set[str]:
    """Honest parties that an error or a fault names; missed deadlines are what they are.

    Where an error can only say that one of two copied the other, the chain's order says which.
    """
    named = set(one.named) - {one.culprit} if one.culprit not in one.named else set()
    recorded = {
        party for party, reason, _, _ in one.faults if party != one.culprit and reason not in (*MISSED, *_NAMES_NOBODY)
    }
    return named | recorded
