"""Nodes whose tables are a CSV file, a Parquet file and a database train the model that three CSV files give."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pyarrow.csv
import pytest
from pyarrow import parquet

from fedchain.chain import Account
from fedchain.federation.spec import JobSpec
from fedchain.federation.tables import read_party_table
from fedchain.node.config import load_config
from fedchain.simulation.federation import simulate
from tests.integration.node import test_running_nodes as running
from tests.integration.node.test_running_nodes import Member, job_toml

pytestmark = pytest.mark.timeout(120)

members = running.members


@pytest.fixture(autouse=True)
def quick_keystores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weak key stretching: a full one takes a second per keystore."""
    save = Account.save_keystore
    monkeypatch.setattr(Account, "save_keystore", lambda self, path, phrase: save(self, path, phrase, iterations=2))


def repoint(member: Member, data: str) -> None:
    """Give a node another `[data]`."""
    path = member.config.folder / "node.toml"
    before, _, rest = path.read_text().partition("[data]\n")
    path.write_text(f"{before}[data]\n{data}\n{rest[rest.index('[serve]') :]}")
    member.config = load_config(path).model_copy(update={"serve": member.config.serve})


def as_parquet(member: Member, table: Path) -> None:
    parquet.write_table(pyarrow.csv.read_csv(table), member.config.folder / "mine.pq")
    repoint(member, 'path = "mine.pq"\ncolumns = { id = "id", x = "numeric" }')


def as_database(member: Member, table: Path) -> None:
    """In another order of rows, with a column that is not declared."""
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    connection = sqlite3.connect(member.config.folder / "mine.db")
    connection.execute("CREATE TABLE mine (x REAL, id TEXT, phone TEXT)")
    connection.executemany("INSERT INTO mine VALUES (?, ?, '077')", [(float(x), one) for one, x in rows[::-1]])
    connection.commit()
    connection.close()
    url = member.config.folder / "database-url"
    url.write_text("sqlite:///mine.db\n")
    url.chmod(0o600)
    columns = 'columns = { id = "id", x = "numeric" }'
    repoint(member, f'query = "SELECT * FROM mine"\nurl_file = "database-url"\n{columns}')


def test_a_job_over_a_csv_file_a_parquet_file_and_a_database_gives_the_model_of_csv_files(
    members: list[Member],
) -> None:
    toml = job_toml([member.name for member in members])
    spec = JobSpec.from_toml_text(toml.decode())
    files = [member.config.data.path for member in members]
    tables = {}
    for party, path in zip(spec.names, files, strict=True):
        assert path is not None
        tables[party] = read_party_table(path, spec, party)
    assert files[1] is not None
    assert files[2] is not None
    as_parquet(members[1], files[1])
    as_database(members[2], files[2])
    for member in members:
        member.start()
    with members[0].client() as client:
        job_id = client.submit(toml)
        for member in members:
            end = member.wait(job_id)
            assert end["status"] == "completed", end["error"]
        scores = client.predict(job_id, "holdout").scores
    simulated = simulate(spec, tables).active
    report = json.loads((members[0].config.state.folder / "jobs" / job_id / "report.json").read_text())
    assert report["model_digest"] == simulated.model_digest
    assert simulated.holdout_scores is not None
    assert scores.tolist() == simulated.holdout_scores.tolist()


def test_a_declared_column_that_a_table_lacks_ends_the_job_and_peers_learn_the_kind_of_error_alone(
    members: list[Member],
) -> None:
    path = members[1].config.data.path
    assert path is not None
    repoint(
        members[1], f'path = {json.dumps(str(path))}\ncolumns = {{ id = "id", x = "numeric", town = "categorical" }}'
    )
    for member in members:
        member.start()
    with members[0].client() as client:
        job_id = client.submit(job_toml([member.name for member in members]))
    assert "no column 'town', which [data.columns] declares as categorical" in members[1].wait(job_id)["error"]
    end = members[0].wait(job_id)
    assert f"party {members[1].name} cannot take part: DataError" in end["error"]
    assert "town" not in end["error"]
