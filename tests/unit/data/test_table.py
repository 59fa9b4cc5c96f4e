"""A table in memory."""

from __future__ import annotations

import numpy as np
import pytest

from fedchain.data.table import Column, Table
from fedchain.errors import DataError


@pytest.fixture
def table() -> Table:
    texts = np.array(["x", None, "y"], dtype=object)
    return Table(
        ("c", "a", "b"),
        (Column("age", "numeric", np.array([30.0, np.nan, 50.0])), Column("city", "categorical", texts)),
        np.array([1.0, 0.0, 0.0]),
        source="mine.csv",
    )


def test_take_puts_ids_cells_and_labels_in_the_order_asked_for(table: Table) -> None:
    taken = table.take(["a", "c"])
    assert taken.ids == ("a", "c")
    np.testing.assert_array_equal(taken.column("age").values, [np.nan, 30.0])
    assert list(taken.column("city").values) == [None, "x"]
    assert taken.label is not None
    assert list(taken.label) == [0.0, 1.0]


def test_rows_of_gives_row_numbers(table: Table) -> None:
    rows = table.rows_of(["b", "a"])
    assert rows.dtype == np.int64
    assert list(rows) == [2, 1]


def test_an_absent_id_is_an_error_that_names_positions_and_no_ids(table: Table) -> None:
    with pytest.raises(DataError, match=r"mine\.csv: 2 of 3 ids .*positions 1, 2\)") as caught:
        table.take(["a", "customer-7", "customer-8"])
    assert "customer" not in str(caught.value)


def test_taking_an_id_twice_is_an_error(table: Table) -> None:
    with pytest.raises(DataError, match="ids repeat"):
        table.take(["a", "a"])


def test_repeated_ids_are_an_error() -> None:
    with pytest.raises(DataError, match="1 ids repeat"):
        Table(("a", "a"), ())


def test_columns_and_labels_of_another_length_are_an_error() -> None:
    with pytest.raises(DataError, match="column 'age' has shape"):
        Table(("a",), (Column("age", "numeric", np.zeros(2)),))
    with pytest.raises(DataError, match="label has shape"):
        Table(("a",), (), np.zeros(2))


def test_an_absent_column_is_an_error_that_lists_those_present(table: Table) -> None:
    with pytest.raises(DataError, match="'income'; columns present: age, city"):
        table.column("income")


def test_its_repr_shows_neither_ids_nor_values() -> None:
    table = Table(("secret-id",), (Column("age", "numeric", np.array([47.25])),), np.array([1.0]))
    shown = repr(table) + repr(table.columns)
    assert "secret" not in shown
    assert "47" not in shown


def test_missing_cells_are_marked_in_both_kinds_of_columns(table: Table) -> None:
    assert list(table.column("age").missing) == [False, True, False]
    assert list(table.column("city").missing) == [False, True, False]


def test_weights_and_class_names_come_along() -> None:
    weighted = Table(
        ("c", "a", "b"), (), np.array([1.0, 0.0, 2.0]), classes=("x", "y", "z"), weight=np.array([1.0, 2.0, 3.0])
    )
    taken = weighted.take(["b", "c"])
    assert taken.weight is not None
    assert list(taken.weight) == [3.0, 1.0]
    assert taken.classes == ("x", "y", "z")
    with pytest.raises(DataError, match="weight has shape"):
        Table(("a",), (), None, weight=np.zeros(2))
