"""Files of ids: which columns, how they are spelled, in chunks."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedchain.data import idfile
from fedchain.data.idfile import IdFile
from fedchain.data.idrules import DEFAULT_RULES, IdPart, IdRules
from fedchain.errors import DataError

TWO_PARTS = IdRules((IdPart("name", ("trim", "nfc", "casefold")), IdPart("born")))


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def all_ids(file: IdFile, first: int = 0) -> list[str]:
    return [one for chunk in file.chunks(first) for one in chunk.ids]


def test_ids_are_spelled_by_the_rules_and_cells_stay_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "ids.csv", "amount,id\n7, 12.0 \n8,0012\n9,n/a\n")
    file = IdFile.open(path, DEFAULT_RULES, (), ("id",))
    (chunk,) = file.chunks()
    assert chunk.ids == ["12", "0012", ""]
    assert chunk.cells == ((" 12.0 ", "0012", "n/a"),)


def test_a_named_column_counts_before_the_usual_one(tmp_path: Path) -> None:
    path = write(tmp_path / "ids.csv", "id,other\n1,2\n")
    assert all_ids(IdFile.open(path, DEFAULT_RULES, ("other",), ("id",))) == ["2"]


def test_the_parts_own_names_count_where_the_usual_columns_are_absent(tmp_path: Path) -> None:
    path = write(tmp_path / "ids.csv", "born,name\n1990,ADA\n,Bo\n")
    file = IdFile.open(path, TWO_PARTS, (), ("full_name", "birthday"))
    assert file.columns == ("name", "born")
    assert all_ids(file) == ["3:ada,4:1990,", ""]


def test_the_only_column_of_a_file_holds_the_ids_whatever_it_is_called(tmp_path: Path) -> None:
    path = write(tmp_path / "ids.csv", "customers\n5\n")
    assert all_ids(IdFile.open(path, DEFAULT_RULES, (), ("id",))) == ["5"]


def test_an_absent_column_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    path = write(tmp_path / "ids.csv", "a,b\n1,2\n")
    with pytest.raises(DataError, match=r"no id column 'id'; columns present: a, b; name the column with --id-column"):
        IdFile.open(path, DEFAULT_RULES, (), ("id",))


def test_as_many_columns_as_parts_must_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "ids.csv", "name,born\nx,1\n")
    with pytest.raises(DataError, match=r"2 parts \(name, born\), 1 columns are named"):
        IdFile.open(path, TWO_PARTS, ("name",), ())


def test_chunks_join_to_the_whole_file_and_can_be_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idfile, "CHUNK_ROWS", 3)
    path = write(tmp_path / "ids.csv", "id\n" + "".join(f"{number}\n" for number in range(8)))
    file = IdFile.open(path, DEFAULT_RULES, (), ("id",))
    assert [len(chunk) for chunk in file.chunks()] == [3, 3, 2]
    assert all_ids(file, 2) == ["6", "7"]
    assert list(file.chunks(3)) == []


def test_rows_are_counted_and_the_bytes_digested(tmp_path: Path) -> None:
    path = write(tmp_path / "ids.csv", 'id,text\n1,"two\nlines"\n\n2,x\n')
    rows, digest = IdFile.open(path, DEFAULT_RULES, (), ("id",)).measure()
    assert rows == 2
    write(path, 'id,text\n1,"two\nlines"\n\n2,y\n')
    assert IdFile.open(path, DEFAULT_RULES, (), ("id",)).measure()[1] != digest


def test_parquet_gives_the_same_ids_as_csv(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "ids.parquet"
    parquet.write_table(pa.table({"id": pa.array([12, None, 7], pa.int64()), "x": [1, 2, 3]}), path)
    file = IdFile.open(path, DEFAULT_RULES, (), ("id",))
    assert file.measure()[0] == 3
    assert all_ids(file) == ["12", "", "7"]


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "ids.csv", "id,x\n1,2\n3\n")
    with pytest.raises(DataError, match="line 3: expected 2 fields, found 1"):
        all_ids(IdFile.open(path, DEFAULT_RULES, (), ("id",)))
