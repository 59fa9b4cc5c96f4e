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


def spec_of(names: Sequence[str], **algorithm: Any) -> JobSpec:
    """A short job; the first name is the active party."""
    document = {
        "schema": 1,
        "name": "test-job",
        "algorithm": {"trees": 3, "depth": 3, "bins": 8, **algorithm},
        "alignment": {"min_rows": 50},
        "parties": [
            {"name": name, "role": "passive" if place else "active", **({} if place else {"label": "y"})}
            for place, name in enumerate(names)
        ],
    }
    return JobSpec._validate(document, "test")


def _some_rows(table: Table, random: np.random.Generator, absent: int) -> Table:
    """The table without some rows, in another order."""
    keep = random.permutation(len(table))[absent:]
    return table.take([table.ids[row] for row in keep])


@lru_cache(maxsize=8)
def make_case(name: str) -> Case:
    """One of the named cases; the same tables at every call."""
    random = np.random.default_rng(20)
    ids = tuple(f"P-{number}" for number in random.permutation(9000)[:ROWS] + 1000)
    signal: NDArray[np.float64] = random.normal(size=(ROWS, 6))
    gaps = np.where(random.random(ROWS) < 0.3, np.nan, signal[:, 2])
    contract = [("month", "year", "two years")[int(k)] for k in random.integers(0, 3, ROWS)]
    channel = [("shop", "web", None)[int(k)] for k in random.integers(0, 3, ROWS)]
    margin = signal[:, 0] + 1.5 * signal[:, 1] - np.nan_to_num(gaps, nan=-1.2) + 0.8 * signal[:, 3]
    margin += np.array([1.2 if one == "month" else -0.6 for one in contract])
    margin += np.array([0.9 if one is None else -0.5 for one in channel])
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
