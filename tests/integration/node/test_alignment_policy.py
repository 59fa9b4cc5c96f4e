"""Real nodes refuse to be asked too often, or with too few ids, which of their customers a peer knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedchain.chain import Consortium, UplinkJudged
from fedchain.cli.main import app
from fedchain.messages import IdSet, decode
from fedchain.node.alignments import read_alignments
from fedchain.node.jobspec import read_spec
from fedchain.node.sections import AlignmentSection
from fedchain.types import Kind, Phase
from tests.integration.node import test_running_nodes as running
from tests.integration.node.test_running_nodes import Member, job_toml

pytestmark = pytest.mark.timeout(120)

members = running.members
quick_keystores = running.quick_keystores


def bound(member: Member, **bounds: int) -> None:
    member.config = member.config.model_copy(update={"alignment": AlignmentSection.model_validate(bounds)})


def test_runs_are_counted_on_the_chain_and_a_restart_does_not_forget(
    members: list[Member],
    steward: Consortium,
) -> None:
    operator, bank, shop = members
    names = [member.name for member in members]
    bound(bank, max_runs_per_peer_and_day=1)
    for member in members:
        member.start()
    with operator.client() as client:
        first = client.submit(job_toml(names))
    for member in members:
        assert member.wait(first)["status"] == "completed"
    bank.halt()
    bank.start()
    with operator.client() as client:
        second = client.submit(job_toml([operator.name, bank.name], name="again"))
    end = bank.wait(second)
    assert end["status"] == "failed"
    assert f"party '{operator.name}' has taken part in 1 alignments with this node within a day" in end["error"]
    assert "max_runs_per_peer_and_day of node.toml is 1" in end["error"]
    assert steward.job(second).phase == Phase.ABORTED
    assert not steward.has_accepted(second, bank.account.address)

    with operator.client() as client:
        third = client.submit(job_toml([operator.name, shop.name], name="others"))
    assert shop.wait(third)["status"] == "completed", "nobody else is bound"

    runs = {run.job_id: run for run in read_alignments(steward, 1)}
    assert second not in runs, "no blinded id was sent"
    assert runs[first].sizes == {operator.name: 160, bank.name: 150, shop.name: 140}
    assert len(set(runs[first].rows.values())) == 1
    shown = CliRunner().invoke(app, ["alignment", "record", "--node", str(bank.config.folder), "--json"])
    assert shown.exit_code == 0, shown.output
    document = json.loads(shown.stdout)
    assert [run["job_id"] for run in document["runs"]] == [first]
    assert {tuple(pair["parties"]): pair["runs"] for pair in document["within_a_day"]} == {
        (operator.name, bank.name): 1,
        (bank.name, shop.name): 1,
    }
    assert document["bounds"]["max_runs_per_peer_and_day"] == 100, "as node.toml has it"
    table = CliRunner(env={"COLUMNS": "240"}).invoke(app, ["alignment", "record", "--node", str(bank.config.folder)])
    assert f"{operator.name} 160, {bank.name} 150, {shop.name} 140" in table.stdout

    found = read_spec(steward, first)
    assert set(found.declared.values()) == {found.id_rules_digest}
    assert set(found.declared) == set(names)
    assert read_spec(steward, second).declared == {operator.name: None, bank.name: None}


def test_a_set_that_is_too_small_is_refused_and_its_owner_learns_nothing(
    members: list[Member],
    steward: Consortium,
) -> None:
    operator, shop = members[0], members[2]
    bound(operator, min_set_size=141)
    for member in (operator, shop):
        member.start()
    with operator.client() as client:
        job_id = client.submit(job_toml([operator.name, shop.name]))
    end = operator.wait(job_id)
    assert end["status"] == "failed"
    assert f"party '{shop.name}' wants to align a set of 140 ids" in end["error"]
    assert steward.job(job_id).phase == Phase.ABORTED
    assert shop.wait(job_id)["status"] == "failed"
    sent = [
        decode(event.payload, IdSet).count
        for event in steward.events(0, steward.client.head())
        if isinstance(event, UplinkJudged)
        and (event.job_id, event.sender) == (job_id, operator.account.address)
        and event.envelope.kind is Kind.BLINDED_IDS
    ]
    assert sent == [160], "the size of its own set, and not even once blinded ids"


def test_the_record_of_a_chain_without_alignments_is_empty(members: list[Member], tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["alignment", "record", "--node", str(members[1].config.folder), "--json"])
    assert shown.exit_code == 0, shown.output
    assert (json.loads(shown.stdout)["runs"], json.loads(shown.stdout)["within_a_day"]) == ([], [])
