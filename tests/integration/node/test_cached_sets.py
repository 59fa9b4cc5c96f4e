"""Nodes that align with a cached set: two jobs of one epoch, no fault, a cap that a restart does not forget."""

from __future__ import annotations

import json
import stat

import pytest
from typer.testing import CliRunner

from fedchain.chain import Consortium, FaultRecorded, UplinkJudged
from fedchain.cli.main import app
from fedchain.errors import MessageError
from fedchain.messages import AskingSet, BlindedIds, CachedChunk, CachedSet, Matches, Message, decode
from fedchain.node.alignments import read_alignments
from fedchain.node.setepochs import SetEpochs
from fedchain.types import Kind, PartyId, Phase, Reason
from tests.integration.node import test_running_nodes as running
from tests.integration.node.test_alignment_policy import bound
from tests.integration.node.test_running_nodes import Member, job_toml

pytestmark = pytest.mark.timeout(120)

members = running.members
quick_keystores = running.quick_keystores


def cached_job(names: list[str], name: str) -> bytes:
    """A small job of two parties; the first one's set is cached."""
    toml = job_toml(names, name=name)
    return toml.replace(b"min_rows = 20\n", f'min_rows = 20\ncached = "{names[0]}"\n'.encode())


def sent(steward: Consortium, job_id: str) -> list[tuple[UplinkJudged, Message]]:
    """The accepted uplinks of a job's alignment; all are small enough to travel in their transactions."""
    found: list[tuple[UplinkJudged, Message]] = []
    for event in steward.events(0, steward.client.head()):
        if not isinstance(event, UplinkJudged) or event.job_id != job_id or event.reason != Reason.ACCEPTED:
            continue
        if event.envelope.kind is Kind.BLINDED_IDS:
            for message_type in (CachedSet, AskingSet, CachedChunk, BlindedIds, Matches):
                try:
                    found.append((event, decode(event.payload, message_type)))
                except MessageError:
                    continue
    return found


def test_jobs_of_one_epoch_send_the_cached_set_once_and_no_fault_is_proven(
    members: list[Member], steward: Consortium
) -> None:
    operator, bank = members[:2]
    names = [operator.name, bank.name]
    bound(operator, hold_cached_sets=True, max_evaluations_per_epoch=310)
    for member in (operator, bank):
        member.start()

    jobs = []
    for name in ("first", "second"):
        with operator.client() as client:
            jobs.append(client.submit(cached_job(names, name)))
        for member in (operator, bank):
            end = member.wait(jobs[-1])
            assert end["status"] == "completed", end["error"]
            report = json.loads((member.config.state.folder / "jobs" / jobs[-1] / "report.json").read_text())
            assert report["aligned_rows"] == 150
        if name == "first":  # keys and sets outlive the process, and nobody else may read them
            for member in (operator, bank):
                member.halt()
                folder = member.config.state.folder / "cached"
                assert len(list(folder.rglob("tags_*"))) == 1
                assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_dir()} == {0o700}
                assert {stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()} == {0o600}
                member.start()

    first, second = (sent(steward, job_id) for job_id in jobs)
    kinds = [[type(message) for _, message in one] for one in (first, second)]
    assert [kind.count(CachedChunk) for kind in kinds] == [1, 0]
    assert [kind.count(Matches) for kind in kinds] == [1, 1]
    headers = [message for one in (first, second) for _, message in one if isinstance(message, CachedSet)]
    assert len({(header.salt, header.commitments, header.key) for header in headers}) == 1
    assert len({header.session for header in headers}) == 2
    digests = [event.envelope.digest for one in (first, second) for event, _ in one]
    assert len(set(digests)) == len(digests), "an equal payload in a second job would be a fault that anybody can prove"
    events = steward.events(0, steward.client.head())
    assert not [event for event in events if isinstance(event, FaultRecorded) and event.job_id in jobs]
    runs = {run.job_id: run for run in read_alignments(steward, 1)}
    assert [runs[job_id].sizes for job_id in jobs] == [{operator.name: 160, bank.name: 150}] * 2

    epochs = SetEpochs(operator.config.state.folder, operator.config.alignment)
    (epoch,) = epochs.epochs()
    assert (epoch.peer, epoch.ids, epoch.is_whole, epoch.jobs) == (bank.name, 160, True, ())
    assert epochs.evaluations.used(PartyId(bank.name), 1) == 300

    where = ("alignment", "epochs", "--node", str(operator.config.folder))
    shown = CliRunner().invoke(app, [*where, "--json"])
    assert shown.exit_code == 0, shown.output
    (line,) = json.loads(shown.stdout)["epochs"]
    assert (line["peer"], line["epoch"], line["ids"], line["evaluations"]) == (bank.name, epoch.salt, 160, 300)
    table = CliRunner(env={"COLUMNS": "240"}).invoke(app, [*where])
    assert "300 of 1000000" in table.stdout, "as node.toml has it"
    assert (line["jobs"], line["is_whole"]) == ([], True)

    with operator.client() as client:
        third = client.submit(cached_job(names, "third"))
    end = operator.wait(third)
    assert end["status"] == "failed"
    assert f"party '{bank.name}' asks this node to evaluate 150 ids and had 300 evaluated within 7 days" in end["error"]
    assert steward.job(third).phase == Phase.ABORTED
    assert bank.wait(third)["status"] == "failed"
    own = [message for event, message in sent(steward, third) if event.sender == operator.account.address]
    assert [type(message) for message in own] == [CachedSet], "nothing was evaluated"
    assert epochs.evaluations.used(PartyId(bank.name), 1) == 300


def test_a_node_that_holds_no_cached_sets_refuses_the_job_before_it_accepts_it(
    members: list[Member], steward: Consortium
) -> None:
    operator, bank = members[:2]
    for member in (operator, bank):
        member.start()
    with bank.client() as client:
        job_id = client.submit(cached_job([operator.name, bank.name], "unasked"))
    end = operator.wait(job_id)
    assert end["status"] == "failed"
    assert f"party '{bank.name}' is in job 'unasked' that wants this node's cached set" in end["error"]
    assert not steward.has_accepted(job_id, operator.account.address)
    assert not (operator.config.state.folder / "cached").exists()
