"""Jobs and tables that anomalies are looked for in: drawn anew for each run, as unlike as honest jobs are.

Columns are normal, Student's t with 2 to 5 degrees of freedom, log-normal, levels, or mostly zero; some have gaps.
Labels are skewed (3 to 50 % positive), or numbers with heavy-tailed noise. Parties are stronger and weaker. Answers
take as long as they take: every party has its own median, a heavy tail, and now and then an outage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.data.table import Column, Table
from fedchain.federation.spec import JobSpec
from fedchain.simulation.judge import Delays
from fedchain.types import PartyId

Random = np.random.Generator
Floats = NDArray[np.float64]

SHAPES = ("normal", "t", "lognormal", "levels", "zeros")
OUTAGE = 0.002
"""Share of answers that an outage of a minute up to an hour delays."""

RANGES: dict[str, str] = {
    "passive_parties": "2 to 3",
    "rows": "200 to 600, log-uniform",
    "columns": "1 to 4 at passive parties, 0 to 3 at the active one",
    "column_shapes": "normal, t (2 to 5 degrees of freedom), log-normal (sigma 0.5 to 2), levels, 70 % zeros",
    "party_strength": "0.3 to 3 in standard deviations of the label's noise, log-uniform",
    "labels": "3 to 50 % positive, at least 20 of them; one job in five: numbers with t(3) noise",
    "gaps": "5 % of the cells of every fourth column",
    "trees": "16 to 40, depth 2 to 3, 4 to 12 bins, learning rate 0.1 to 0.4",
    "modes": "standard, layered, mix; row sampling in a quarter, GOSS in a quarter, column sampling in a third",
    "answer_seconds": "log-normal: median 2 to 60, sigma 0.5 to 1.2, by party; 0.2 % of them 60 to 3600 more",
}
"""What is drawn, in words, for the report."""


@dataclass(frozen=True)
class Drawn:
    """One job.

    Attributes:
        spec: of the job.
        tables: of all parties.
        delays: of all parties.
        passive: names.
    """

    spec: JobSpec
    tables: dict[PartyId, Table]
    delays: Delays
    passive: tuple[PartyId, ...]


def draw(random: Random, *, trees: tuple[int, int] = (16, 40), strong: bool = False) -> Drawn:
    """A job with its tables.

    Args:
        random: all that is drawn comes from it.
        trees: fewest and most.
        strong: whether every party's columns say something on their own, at least one standard deviation: where one of
            them is to be told from a party that says nothing.
    """
    count = int(random.integers(2, 4))
    rows = round(_log_uniform(random, 200, 600))
    widths = [int(random.integers(0, 4)), *(int(random.integers(1, 5)) for _ in range(count))]
    least = 1.0 if strong else 0.3
    columns = [[_column(random, rows) for _ in range(width)] for width in widths]
    score = np.zeros(rows)
    for own in columns:
        if own:
            part = sum((random.choice((-1, 1)) * _ranked(column) for column in own), np.zeros(rows))
            score += _log_uniform(random, least, 3.0) * part / max(float(part.std()), 1e-9)
    is_number = random.random() < 0.2
    label = _numbers(random, score) if is_number else _classes(random, score)
    spec = _spec(random, count, "squared_error" if is_number else "binary", trees)
    tables = {}
    place = 0
    for name, own in zip(spec.names, columns, strict=True):
        order = random.permutation(rows)
        features = []
        for number, values in enumerate(own):
            if place % 4 == 3:
                values = np.where(random.random(rows) < 0.05, np.nan, values)
            features.append(Column(f"x{number}", "numeric", values[order]))
            place += 1
        ids = tuple(map(str, (order + 1).tolist()))
        tables[name] = Table(ids, tuple(features), label[order] if name == spec.names[0] else None, source=name)
    return Drawn(spec, tables, _delays(random, spec.names), spec.names[1:])


def _spec(random: Random, passive: int, objective: str, trees: tuple[int, int]) -> JobSpec:
    algorithm: dict[str, Any] = {
        "mode": str(random.choice(("standard", "layered", "mix"))),
        "objective": objective,
        "trees": int(random.integers(trees[0], trees[1] + 1)),
        "depth": int(random.integers(2, 4)),
        "bins": int(random.integers(4, 13)),
        "learning_rate": round(float(random.uniform(0.1, 0.4)), 3),
    }
    sampling = random.random()
    if sampling < 0.25:
        algorithm["row_sample"] = 0.7
    elif sampling < 0.5:
        algorithm |= {"goss_top": 0.2, "goss_other": 0.2}
    if random.random() < 1 / 3:
        algorithm["column_sample"] = 0.7
    parties = [{"name": "active", "role": "active", "id": "id", "label": "y"}]
    parties += [{"name": f"passive_{i + 1}", "role": "passive", "id": "id"} for i in range(passive)]
    return JobSpec.model_validate(
        {
            "name": "trial",
            "seed": int(random.integers(0, 2**31)),
            "algorithm": algorithm,
            "holdout": {"seed": int(random.integers(0, 2**31))},
            "parties": parties,
        }
    )


def _column(random: Random, rows: int) -> Floats:
    shape = str(random.choice(SHAPES))
    if shape == "normal":
        return random.standard_normal(rows)
    if shape == "t":
        return random.standard_t(random.uniform(2.0, 5.0), rows)
    if shape == "lognormal":
        return random.lognormal(0, random.uniform(0.5, 2.0), rows)
    if shape == "levels":
        return random.integers(0, int(random.integers(2, 20)), rows).astype(np.float64)
    return np.where(random.random(rows) < 0.7, 0.0, random.lognormal(0, 1, rows))


def _ranked(column: Floats) -> Floats:
    """Standard scores of a column's ranks, ties in order: what a column says does not hang on its tail."""
    ranks = np.argsort(np.argsort(column, kind="stable"), kind="stable")
    return np.asarray((ranks - ranks.mean()) / max(float(ranks.std()), 1e-9), dtype=np.float64)


def _classes(random: Random, score: Floats) -> Floats:
    """The highest of them are positive, with logistic noise."""
    share = max(_log_uniform(random, 0.03, 0.5), 20 / len(score))
    noisy = score + random.logistic(size=len(score)) * np.sqrt(3) / np.pi
    return np.asarray(noisy > np.quantile(noisy, 1 - share), dtype=np.float64)


def _numbers(random: Random, score: Floats) -> Floats:
    return np.asarray(score + random.standard_t(3, len(score)) / np.sqrt(3), dtype=np.float64)


def _delays(random: Random, names: tuple[PartyId, ...]) -> Delays:
    habits = {name: (_log_uniform(random, 2, 60), random.uniform(0.5, 1.2)) for name in names}

    def delays(party: PartyId, round: int) -> float:
        median, sigma = habits[party]
        seconds = median * float(np.exp(sigma * random.standard_normal()))
        return seconds + (_log_uniform(random, 60, 3600) if random.random() < OUTAGE else 0.0)

    return delays


def _log_uniform(random: Random, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))
