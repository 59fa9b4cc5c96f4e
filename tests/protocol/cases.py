"""Small federations: made-up tables of two, three and four parties, and the jobs over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.data.table import Column, Table
from fedchain.federation.spec import JobSpec
from fedchain.types import PartyId

ROWS = 260


@dataclass(frozen=True)
class Case:
    """A job and its parties' tables, roster order."""

    spec: JobSpec
    tables: dict[PartyId, Table]


def numeric(name: str, values: Any) -> Column:
    return Column(name, "numeric", np.asarray(values, dtype=np.float64))


def categorical(name: str, values: Sequence[str | None]) -> Column:
    return Column(name, "categorical", np.asarray(values, dtype=object))


def spec_of(names: Sequence[str], *, stopping: dict[str, Any] | None = None, **algorithm: Any) -> JobSpec:
    """A short job in standard mode, unless said otherwise; the first name is the active party."""
    document = {
        "schema": 1,
        "name": "test-job",
        "algorithm": {"mode": "standard", "trees": 3, "depth": 3, "bins": 8, **algorithm},
        "alignment": {"min_rows": 50},
        "stopping": stopping or {},
        "parties": [
            {"name": name, "role": "passive" if place else "active", **({} if place else {"label": "y"})}
            for place, name in enumerate(names)
        ],
    }
    return JobSpec._validate(document, "test")


@dataclass(frozen=True)
class Signals:
    """What the made-up columns are made of; `margin` is what labels follow."""

    values: NDArray[np.float64]
    gaps: NDArray[np.float64]
    contract: list[str]
    channel: list[str | None]
    margin: NDArray[np.float64]


def _signals(random: np.random.Generator) -> Signals:
    values: NDArray[np.float64] = random.normal(size=(ROWS, 6))
    gaps = np.where(random.random(ROWS) < 0.3, np.nan, values[:, 2])
    contract = [("month", "year", "two years")[int(k)] for k in random.integers(0, 3, ROWS)]
    channel = [("shop", "web", None)[int(k)] for k in random.integers(0, 3, ROWS)]
    margin = values[:, 0] + 1.5 * values[:, 1] - np.nan_to_num(gaps, nan=-1.2) + 0.8 * values[:, 3]
    margin += np.array([1.2 if one == "month" else -0.6 for one in contract])
    margin += np.array([0.9 if one is None else -0.5 for one in channel])
    return Signals(values, gaps, contract, channel, margin)


def labels_for(objective: str, margin: NDArray[np.float64]) -> NDArray[np.float64]:
    """Labels that fit an objective and follow the margin."""
    random = np.random.default_rng(7)
    noisy = margin + random.logistic(size=len(margin)) * 0.5
    mean = np.exp(margin / 4)
    return {
        "binary": (noisy > 0).astype(np.float64),
        "multiclass": np.digitize(noisy, [-1.5, 1.5]).astype(np.float64),
        "squared_error": np.round(noisy * 10, 3),
        "poisson": random.poisson(mean).astype(np.float64),
        "tweedie": np.where(random.random(len(margin)) < 0.4, 0.0, np.round(mean * random.gamma(2.0, size=ROWS), 3)),
    }[objective]


@lru_cache(maxsize=16)
def objective_case(objective: str, *, weighted: bool = False) -> Case:
    """Three parties of which all know something, labels for an objective, in standard mode."""
    random = np.random.default_rng(20)
    ids = tuple(f"P-{number}" for number in random.permutation(9000)[:ROWS] + 1000)
    made = _signals(random)
    weight = np.round(random.gamma(2.0, size=ROWS), 2) if weighted else None
    columns = (numeric("tenure", made.values[:, 0]), numeric("noise", made.values[:, 5]))
    operator = Table(ids, columns, labels_for(objective, made.margin), source="operator", weight=weight)
    bank = Table(ids, (numeric("income", made.gaps), numeric("hours", made.values[:, 1])), source="bank")
    shop = Table(ids, (categorical("contract", made.contract), categorical("channel", made.channel)), source="shop")
    tables = {
        PartyId(table.source): _some_rows(table, random, 8 * (place + 1))
        for place, table in enumerate((operator, bank, shop))
    }
    classes: dict[str, Any] = {"classes": 3} if objective == "multiclass" else {}
    return Case(spec_of(list(tables), objective=objective, trees=2, **classes), tables)


def with_algorithm(case: Case, *, stopping: dict[str, Any] | None = None, **algorithm: Any) -> Case:
    """The case under other settings."""
    old = {key: value for key, value in case.spec.algorithm.model_dump(mode="json").items() if value is not None}
    return Case(spec_of(case.spec.names, stopping=stopping, **{**old, **algorithm}), case.tables)


def _some_rows(table: Table, random: np.random.Generator, absent: int) -> Table:
    """The table without some rows, in another order."""
    keep = random.permutation(len(table))[absent:]
    return table.take([table.ids[row] for row in keep])


@lru_cache(maxsize=8)
def make_case(name: str) -> Case:
    """One of the named cases; the same tables at every call."""
    random = np.random.default_rng(20)
    ids = tuple(f"P-{number}" for number in random.permutation(9000)[:ROWS] + 1000)
    made = _signals(random)
    signal, gaps, contract, channel, margin = made.values, made.gaps, made.contract, made.channel, made.margin
    label = (margin + random.logistic(size=ROWS) * 0.5 > 0).astype(np.float64)

    operator = Table(ids, (numeric("tenure", signal[:, 0]), numeric("noise", signal[:, 5])), label, source="operator")
    bare = Table(ids, (), label, source="operator")
    media = Table(ids, (numeric("hours", signal[:, 1]), numeric("visits", signal[:, 3])), source="media")
    bank = Table(ids, (numeric("income", gaps), numeric("age", np.round(signal[:, 4]))), source="bank")
    shop = Table(ids, (categorical("contract", contract), categorical("channel", channel)), source="shop")
    idle = Table(ids, (numeric("constant", np.full(ROWS, 3.0)), numeric("blank", np.full(ROWS, np.nan))), source="idle")
    chosen: dict[str, dict[str, Table]] = {
        "two parties": {"operator": operator, "media": media},
        "a passive party with missing values": {"operator": operator, "bank": bank},
        "a passive party with categories only": {"operator": operator, "shop": shop},
        "three parties": {"operator": operator, "bank": bank, "shop": shop},
        "an active party without features": {"operator": bare, "media": media, "bank": bank},
        "four parties, one without a usable feature": {
            "operator": operator,
            "idle": idle,
            "bank": bank,
            "shop": shop,
        },
    }
    tables = {
        PartyId(party): _some_rows(table, random, 8 * (place + 1))
        for place, (party, table) in enumerate(chosen[name].items())
    }
    return Case(spec_of(list(tables)), tables)


CASES = (
    "two parties",
    "a passive party with missing values",
    "a passive party with categories only",
    "three parties",
    "an active party without features",
    "four parties, one without a usable feature",
)
