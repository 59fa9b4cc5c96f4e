"""Nodes whose tables spell their customers differently, in columns that nobody else knows, train a model together."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from fedchain.chain import Consortium
from fedchain.cli.main import app
from fedchain.federation.spec import JobSpec
from fedchain.node.config import load_config
from fedchain.node.jobspec import read_spec
from tests.integration.node import test_running_nodes as running
from tests.integration.node.test_running_nodes import Member, job_toml

pytestmark = pytest.mark.timeout(120)

members = running.members
quick_keystores = running.quick_keystores

PARTS = """duplicates = "aggregate"
[[alignment.parts]]
name = "phone"
rules = ["phone"]
country_code = "44"
[[alignment.parts]]
name = "name"
rules = ["casefold", "squeeze"]
"""


def respell(member: Member, phone: str, name: str, columns: tuple[str, str]) -> None:
    """Replace a table's id by a telephone number and a name; the first row comes twice, one row has no name."""
    path = member.config.data.path
    assert path is not None
    header, *rows = path.read_text().splitlines()
    lines = [f"{','.join(columns)},{header.partition(',')[2]}"]
    for row in [rows[0], *rows]:
        number, _, rest = row[1:].partition(",")
        lines.append(f'{phone.format(number)},"{name.format(number)}",{rest}')
    lines.append(f"{phone.format('9999')},,{rows[0].partition(',')[2]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    toml = member.config.folder / "node.toml"
    before, _, rest = toml.read_text().partition("[data]\n")
    label = ', churn = "label"' if "churn" in header else ""
    data = (
        f'[data]\npath = "{path}"\nid = {{ phone = "{columns[0]}", name = "{columns[1]}" }}\n'
        f'columns = {{ {columns[0]} = "id", {columns[1]} = "id", x = "numeric"{label} }}\n\n'
    )
    toml.write_text(before + data + rest[rest.index("[serve]") :])
    member.config = load_config(toml).model_copy(update={"serve": member.config.serve})


def test_nodes_align_on_columns_that_the_job_does_not_know(
    members: list[Member], steward: Consortium, deployment_path: object
) -> None:
    operator, bank = members[:2]
    respell(operator, "+44 (0)7700 90-{}", "Straße  {}", ("secret_msisdn", "secret_name"))
    respell(bank, "0770090{}", " STRASSE {} ", ("mobile", "who"))
    for member in (operator, bank):
        member.start()
    toml = job_toml([operator.name, bank.name]).replace(b"min_rows = 20\n", b"min_rows = 20\n" + PARTS.encode())
    with operator.client() as client:
        job_id = client.submit(toml)
    for member, rows in ((operator, 160), (bank, 150)):
        end = member.wait(job_id)
        assert end["status"] == "completed", end["error"]
        report = json.loads((member.config.state.folder / "jobs" / job_id / "report.json").read_text())
        counts = {key: report[key] for key in ("own_rows", "blank_ids", "unreadable_ids", "repeated_ids")}
        assert counts == {"own_rows": rows, "blank_ids": 1, "unreadable_ids": 0, "repeated_ids": 1}
        assert report["aligned_rows"] == 150

    rules = JobSpec.from_toml_text(toml.decode()).alignment.rules
    found = read_spec(steward, job_id)
    assert found.declared == {operator.name: rules.digest.hex(), bank.name: rules.digest.hex()}
    assert b"secret" not in found.spec.to_bytes()
    where = ("--rpc", steward.client.rpc_url, "--deployment", str(deployment_path))
    shown = CliRunner(env={"COLUMNS": "240"}).invoke(app, ["job", "show", job_id, *where])
    assert shown.exit_code == 0, shown.output
    for words in (rules.digest.hex(), "trim, nfc, casefold, squeeze", "country code 44, trunk prefix 0", "aggregate"):
        assert words in shown.stdout
    document = json.loads(CliRunner().invoke(app, ["job", "show", job_id, *where, "--json"]).stdout)
    assert document["id_rules_digest"] == rules.digest.hex() == document["id_rules_declared"][bank.name]
    with operator.client() as client:
        assert len(client.predict(job_id, "holdout").scores) == 30
