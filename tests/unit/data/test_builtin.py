"""The built-in case."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedchain.data.builtin import (
    BUILTIN_ID,
    BUILTIN_LABEL,
    BUILTIN_PARTIES,
    BUILTIN_POSITIVE,
    write_breast_cancer,
)
from fedchain.data.csv import read_table
from fedchain.data.ids import sort_ids
from fedchain.data.table import Table


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[Table]:
    folder: Path = tmp_path_factory.mktemp("builtin") / "new"
    write_breast_cancer(folder)
    label: dict[str, Any] = {"operator": {"label_column": BUILTIN_LABEL, "positive": BUILTIN_POSITIVE}}
    return [read_table(folder / f"{name}.csv", id_column=BUILTIN_ID, **label.get(name, {})) for name in BUILTIN_PARTIES]


def test_it_is_written_the_same_every_time(tmp_path: Path) -> None:
    write_breast_cancer(tmp_path / "one")
    write_breast_cancer(tmp_path / "two")
    for name in BUILTIN_PARTIES:
        assert (tmp_path / "one" / f"{name}.csv").read_bytes() == (tmp_path / "two" / f"{name}.csv").read_bytes()


def test_parties_share_most_ids_in_different_orders(tables: list[Table]) -> None:
    common = set.intersection(*(set(table.ids) for table in tables))
    assert [len(table) for table in tables] == [550, 540, 530]
    assert len(common) == 488
    orders = [[each for each in table.ids if each in common] for table in tables]
    assert all(order != sort_ids(common) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_columns_are_split_without_overlap_and_only_the_operator_has_labels(tables: list[Table]) -> None:
    names = [column.name for table in tables for column in table.columns]
    assert len(names) == len(set(names)) == 30
    assert all(column.kind == "numeric" for table in tables for column in table.columns)
    assert [table.label is not None for table in tables] == [True, False, False]
    assert tables[0].label is not None
    assert 0.3 < tables[0].label.mean() < 0.45
