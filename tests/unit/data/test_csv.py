"""Reading CSV: what is accepted, and what each refusal says."""

from __future__ import annotations

import codecs
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedchain.data import csv as reading
from fedchain.data import records as bounds
from fedchain.data.csv import read_table
from fedchain.data.table import Table
from fedchain.errors import DataError
from tests.data_folder import real_data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.csv"


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode("utf-8"))
    return path


def refusal(path: Path, text: str | bytes, **options: object) -> str:
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8"))
    with pytest.raises(DataError) as caught:
        read_table(path, **{"id_column": "id", **options})  # type: ignore[arg-type]
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_table_is_read_in_file_order_with_kinds_and_labels(path: Path) -> None:
    write(path, 'id,y,age,city\n b ,Yes, 3.5 ,"Bern, CH"\na,no,-1e2, Rome\n')
    table = read_table(path, id_column="id", label_column="y")
    assert table.ids == ("b", "a")
    assert [(column.name, column.kind) for column in table.columns] == [("age", "numeric"), ("city", "categorical")]
    assert list(table.column("age").values) == [3.5, -100.0]
    assert list(table.column("city").values) == ["Bern, CH", "Rome"]
    assert table.label is not None
    assert list(table.label) == [1.0, 0.0]
    assert table.blank_ids == 0


@pytest.mark.parametrize("token", ["", "  ", "NA", "n/a", "#N/A", "<NA>", "nan", "NULL", "None"])
def test_missing_tokens_are_missing_in_numeric_and_categorical_columns(path: Path, token: str) -> None:
    table = read_table(write(path, f"id,age,city\n1,{token},{token}\n2,7,x\n"), id_column="id")
    assert np.isnan(table.column("age").values[0])
    assert table.column("age").kind == "numeric"
    assert list(table.column("city").values) == [None, "x"]


@pytest.mark.parametrize("cell", ["x", "1_000", "1.2.3", "0x10", "\u0661", "12%", '"1,5"'])
def test_one_cell_that_is_no_number_makes_a_column_categorical(path: Path, cell: str) -> None:
    table = read_table(write(path, f"id,age\n1,5\n2,{cell}\n"), id_column="id")
    assert table.column("age").kind == "categorical"
    assert table.column("age").values[0] == "5"


def test_a_column_named_categorical_stays_text(path: Path) -> None:
    table = read_table(write(path, "id,code,age\n1,5,5\n2,05,6\n"), id_column="id", categorical=["code"])
    assert list(table.column("code").values) == ["5", "05"]
    assert table.column("age").kind == "numeric"


def test_features_choose_columns_and_their_order(path: Path) -> None:
    write(path, "id,a,b,c\n1,2,3,4\n")
    assert [column.name for column in read_table(path, id_column="id", features=["c", "a"]).columns] == ["c", "a"]
    assert read_table(path, id_column="id", features=[]).columns == ()


def test_blank_ids_are_dropped_and_counted(path: Path) -> None:
    table = read_table(write(path, "id,y\n1,0\n,1\n  ,\nNaN,7\n2,1\n"), id_column="id", label_column="y")
    assert table.ids == ("1", "2")
    assert table.blank_ids == 3


def test_mixed_id_types_become_one_spelling(path: Path) -> None:
    table = read_table(write(path, 'id\n12.0\n"13"\n 14\n0012\n'), id_column="id")
    assert table.ids == ("12", "13", "14", "0012")


def test_byte_order_mark_crlf_quotes_and_blank_lines_are_understood(path: Path) -> None:
    path.write_bytes(codecs.BOM_UTF8 + b'id,"na ""me"""\r\n\r\n1,"a\nb"\r\n2,c\r\n\r\n')
    table = read_table(path, id_column="id")
    assert list(table.column('na "me"').values) == ["a\nb", "c"]


def test_duplicate_ids_are_named_by_line_and_not_by_id(path: Path) -> None:
    said = refusal(path, "id,a\n777,1\n778,2\n777.0,3\n\n778,4\n")
    assert "2 rows repeat" in said
    assert "lines 2 and 4; lines 3 and 6" in said
    assert "777" not in said.replace(str(path), "")


@pytest.mark.parametrize(("line", "found"), [("3", 1), ("3,4,5", 3)])
def test_a_ragged_row_is_named_by_line_with_field_counts(path: Path, line: str, found: int) -> None:
    assert f"line 4: expected 2 fields, found {found}" in refusal(path, f'id,a\n1,"x\ny"\n{line}\n')


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "absent.csv", id_column="id")


def test_a_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path, id_column="id")


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_is_an_error(path: Path, text: str) -> None:
    assert "empty file" in refusal(path, text)


@pytest.mark.parametrize("text", ["id,a\n", "id,a\n,1\n"])
def test_a_file_without_rows_is_an_error(path: Path, text: str) -> None:
    assert "no rows" in refusal(path, text)


def test_header_faults_are_named(path: Path) -> None:
    assert "no header" in refusal(path, ",,\n1,2,3\n")
    assert "column 2 has no name" in refusal(path, "id,,b\n1,2,3\n")
    assert "header names repeat: 'a'" in refusal(path, "id,a, a\n1,2,3\n")


def test_absent_columns_are_named_with_those_present(path: Path) -> None:
    text = "key,a,b\n1,2,3\n"
    assert "no id column 'id'; columns present: key, a, b" in refusal(path, text)
    assert "no label column 'y'" in refusal(path, text, id_column="key", label_column="y")
    assert "no feature column 'c'" in refusal(path, text, id_column="key", features=["a", "c"])
    assert "'c' is named categorical but is no feature; features: a, b" in refusal(
        path, text, id_column="key", categorical=["c"]
    )
    assert "is the separator a comma?" in refusal(path, "id;a\n1;2\n")


def test_one_column_in_two_roles_is_an_error(path: Path) -> None:
    text = "id,a\n1,2\n"
    assert "'id' is asked for more than once" in refusal(path, text, label_column="id")
    assert "'a' is asked for more than once" in refusal(path, text, label_column="a", features=["a"])
    assert "'a' is asked for more than once" in refusal(path, text, features=["a", "a"])
    assert "'positive' is set but no label column" in refusal(path, text, positive="1")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_an_error(path: Path, encoding: str) -> None:
    assert "not UTF-8" in refusal(path, "id,a\n1,é\n".encode(encoding))


def test_nul_bytes_are_an_error_with_their_line(path: Path) -> None:
    assert "line 3: contains a NUL byte" in refusal(path, b"id,a\n1,2\n3,\x00\n")


@pytest.mark.parametrize("text", ['id,a\n1,"open\n', 'id,a\n1,"x"y\n'])
def test_broken_quotes_are_an_error(path: Path, text: str) -> None:
    assert "not valid CSV" in refusal(path, text)


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
def test_an_infinite_number_is_an_error_with_its_line(path: Path, cell: str) -> None:
    assert "line 3: column 'a' holds an infinite" in refusal(path, f"id,a\n1,2\n2,{cell}\n")


def test_lengths_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_LINE", 20)
    assert "line 2: longer than 20 characters" in refusal(path, "id,a\n1," + "x" * 20 + "\n")
    monkeypatch.setattr(bounds, "MAX_FIELDS", 2)
    assert "3 columns, at most 2" in refusal(path, "id,a,b\n1,2,3\n")
    monkeypatch.setattr(bounds, "MAX_ROWS", 2)
    assert "line 4: more than 2 rows" in refusal(path, "id,a\n1,2\n2,3\n3,4\n")


def test_an_endless_quoted_field_is_an_error(path: Path) -> None:
    assert "not valid CSV: field larger than field limit" in refusal(path, 'id,a\n1,"' + "x\n" * 70_000)


def test_labels_may_be_classes_numbers_or_counts(path: Path) -> None:
    write(path, "id,y,n,k\n1,late,0.5,0\n2,early,-1,3\n")
    classes = read_table(path, id_column="id", label_column="y", label_type="classes", features=[])
    assert classes.classes == ("early", "late")
    assert classes.label is not None
    assert list(classes.label) == [1.0, 0.0]
    number = read_table(path, id_column="id", label_column="n", label_type="number", features=[])
    assert number.label is not None
    assert list(number.label) == [0.5, -1.0]
    assert number.classes is None
    count = read_table(path, id_column="id", label_column="k", label_type="count", features=[])
    assert count.label is not None
    assert list(count.label) == [0.0, 3.0]


def test_a_weight_column_becomes_weights_and_no_feature(path: Path) -> None:
    write(path, "id,w,a,y\n1,2,3,0\n,bad,3,1\n2,0.5,4,1\n")
    table = read_table(path, id_column="id", label_column="y", weight_column="w")
    assert table.weight is not None
    assert list(table.weight) == [2.0, 0.5]
    assert [column.name for column in table.columns] == ["a"]
    assert read_table(path, id_column="id", label_column="y", features=["a"]).weight is None
    passive = read_table(path, id_column="id", weight_column="w", features=["a"])
    assert passive.label is None
    assert passive.weight is not None


def test_weight_faults_are_named_by_line(path: Path) -> None:
    text = "id,w,y\n1,2,0\n2,-1,1\n"
    assert "weight column 'w', line 3: '-1' is out of range" in refusal(path, text, weight_column="w")
    assert "no weight column 'v'" in refusal(path, text, weight_column="v")
    assert "'w' is asked for more than once" in refusal(path, text, weight_column="w", features=["w"])
    assert "'y' is asked for more than once" in refusal(path, text, weight_column="y", label_column="y")


CELLS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["", "NA", "1", "1.0", "0", "yes", "no", "-2.5e3", "inf", '"', "a,b", "x\ny", "\x00", "é"]),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.one_of(st.binary(max_size=200), st.text(alphabet='id,y\n\r"01 aé\x00', max_size=120).map(str.encode)))
def test_any_bytes_give_a_table_or_a_data_error(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(b"id,y" + raw)
    try:
        table = read_table(path, id_column="id", label_column="y")
    except DataError:
        return
    assert isinstance(table, Table)
    assert table.label is not None
    assert set(table.label) == {0.0, 1.0}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=6))
def test_any_cells_give_a_consistent_table_or_a_data_error(tmp_path: Path, rows: list[tuple[str, str, str]]) -> None:
    path = tmp_path / "any.csv"
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    path.write_bytes("\n".join(["id,a,b", *quoted]).encode("utf-8", "replace"))
    try:
        table = read_table(path, id_column="id", categorical=["b"])
    except DataError:
        return
    assert len(table) + table.blank_ids == len(rows)
    assert len(set(table.ids)) == len(table) > 0
    assert all(each == each.strip() != "" for each in table.ids)
    first, second = table.columns
    assert second.kind == "categorical"
    if first.kind == "numeric":
        assert not np.isinf(first.values).any()
    else:
        assert all(cell is None or cell.strip() for cell in first.values)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_floats_come_back_exactly(tmp_path: Path, values: list[float]) -> None:
    path = tmp_path / "floats.csv"
    path.write_text("id,a\n" + "".join(f"{row},{value!r}\n" for row, value in enumerate(values)))
    assert list(read_table(path, id_column="id").column("a").values) == values


def test_the_real_telco_tables_are_read_with_their_blanks() -> None:
    operator = read_table(real_data("telco/operator.csv"), id_column="id", label_column="Churn")
    bank = read_table(real_data("telco/bank_partner.csv"), id_column="id")
    media = read_table(real_data("telco/media_partner.csv"), id_column="id")
    assert len(set(operator.ids) & set(bank.ids) & set(media.ids)) == 5488
    assert bank.column("TotalCharges").kind == "numeric"
    assert bank.column("TotalCharges").missing.sum() > 0
    assert operator.column("Contract").kind == "categorical"
