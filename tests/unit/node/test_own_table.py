"""A table is replaced whole or not at all, and never under a running job."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from fedchain.errors import DataError, FedchainError, TableInUseError
from fedchain.node.config import NodeConfig, load_config
from fedchain.node.owntable import PREVIOUS, OwnTable
from fedchain.types import JobId

OLD = "customer,age\n1,30\n2,40\n"
NEW = "customer,age\n1,31\n2,\n3,50\n"
NODE = """\
name = "operator"
[chain]
rpc = "http://127.0.0.1:1"
deployment = "deployment.json"
[data]
path = "own.csv"
"""
COLUMNS = 'columns = { customer = "id", age = "numeric" }\n'


class Desk:
    """A node's table on disk."""

    def __init__(self, folder: Path, columns: str = COLUMNS) -> None:
        self.path = folder / "own.csv"
        self.path.write_text(OLD)
        (folder / "node.toml").write_text(NODE + columns)
        self.users: list[JobId] = []
        self.replaced = 0
        self.lock = threading.Lock()
        config: NodeConfig = load_config(folder / "node.toml")
        self.table = OwnTable(config, lock=self.lock, users=lambda: self.users, on_replaced=self._count)

    def _count(self) -> None:
        self.replaced += 1

    def upload(self, text: str, id_column: str | None = None) -> int:
        part = self.table.new_file()
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        part.write_text(text)
        return self.table.replace(part, id_column).rows

    def files(self) -> set[str]:
        return {one.name for one in self.path.parent.iterdir()} - {"node.toml"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_table_that_is_as_declared_takes_the_place_of_the_old_one(desk: Desk) -> None:
    assert desk.table.describe().rows == 2
    assert desk.upload(NEW) == 3

    assert desk.path.read_text() == NEW
    assert desk.path.with_name("own.csv" + PREVIOUS).read_text() == OLD
    assert [one.missing for one in desk.table.describe().columns] == [0, 1]
    assert (desk.replaced, desk.files()) == (1, {"own.csv", "own.csv" + PREVIOUS})
    assert desk.upload(OLD) == 2
    assert desk.path.with_name("own.csv" + PREVIOUS).read_text() == NEW


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("customer\n1\n", "age"),
        ("customer,age\n1,old\n", "declared numeric"),
        ("customer,age\n1,2\n1,3\n", "repeat"),
        ("customer,age\n1,2,3\n", "expected 2 fields"),
        ("customer,age\n", "no rows"),
        ("\x00\x01", "NUL byte"),
    ],
)
def test_what_is_no_such_table_changes_nothing(desk: Desk, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        desk.upload(text)

    assert desk.path.read_text() == OLD
    assert (desk.replaced, desk.files()) == (0, {"own.csv"})
    assert ".upload" not in str(caught.value)


def test_where_nothing_is_declared_ids_are_checked_if_they_are_named(tmp_path: Path) -> None:
    desk = Desk(tmp_path, columns="")
    doubled = "customer,age\n1,2\n1,3\n"
    with pytest.raises(DataError, match="repeat"):
        desk.upload(doubled, "customer")
    with pytest.raises(DataError, match="no id column 'name'"):
        desk.upload(NEW, "name")

    assert desk.upload(doubled) == 2


def test_a_running_job_keeps_its_table(desk: Desk) -> None:
    desk.users = [JobId("0x" + "5c" * 32)]
    with pytest.raises(TableInUseError, match="0x5c5c"):
        desk.upload(NEW)

    assert (desk.path.read_text(), desk.files()) == (OLD, {"own.csv"})


def test_a_job_that_begins_while_the_table_is_checked_keeps_it_too(desk: Desk) -> None:
    part = desk.table.new_file()
    part.write_text(NEW)
    errors: list[FedchainError] = []

    def replace() -> None:
        try:
            desk.table.replace(part)
        except FedchainError as error:
            errors.append(error)

    with desk.lock:  # a job reads the table
        thread = threading.Thread(target=replace)
        thread.start()
        desk.users = [JobId("0x" + "5c" * 32)]
    thread.join(20)

    assert [type(one) for one in errors] == [TableInUseError]
    assert (desk.path.read_text(), desk.files()) == (OLD, {"own.csv"})


def test_a_query_s_result_is_not_replaced(tmp_path: Path) -> None:
    text = NODE.replace('path = "own.csv"', 'query = "SELECT 1"\nurl_env = "FEDCHAIN_TEST_URL"')
    (tmp_path / "node.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDCHAIN_TEST_URL", "sqlite://")
        table = OwnTable(
            load_config(tmp_path / "node.toml"), lock=threading.Lock(), users=list, on_replaced=lambda: None
        )
        with pytest.raises(TableInUseError, match="query"):
            table.new_file()


def test_what_a_killed_process_left_goes_with_the_next_upload(desk: Desk) -> None:
    desk.table.new_file()
    assert len(desk.files()) == 2

    desk.upload(NEW)

    assert desk.files() == {"own.csv", "own.csv" + PREVIOUS}


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    desk.path.rename(tmp_path / "elsewhere" / "real.csv")
    desk.path.symlink_to(tmp_path / "elsewhere" / "real.csv")

    desk.upload(NEW)

    assert desk.path.is_symlink()
    assert (tmp_path / "elsewhere" / "real.csv").read_text() == NEW


def test_a_table_is_read_again_only_once_it_has_changed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    first = desk.table.describe()
    monkeypatch.setattr("fedchain.node.owntable.describe", lambda source: pytest.fail("read again"))
    assert desk.table.describe() is first
    monkeypatch.undo()
    desk.path.write_text(NEW)
    assert desk.table.describe().rows == 3
