"""A job that was ended while the node was away: what the node owes to its audit comes before all is forgotten."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.chain.artifacts import AUDITS
from fedchain.errors import ChainError, StoppingError
from fedchain.exchange.records import JobRecord
from fedchain.federation.auditing import REMEMBERED, Secrets, seed_of
from fedchain.federation.spec import JobSpec
from fedchain.node.jobfiles import JobFiles
from fedchain.node.jobpolicy import policy_of
from fedchain.node.jobs import Jobs
from fedchain.types import JobId, Phase
from tests.unit.federation.test_spec import JOB as SPEC

JOB = JobId("0x" + "11" * 32)
SECRET = b"\x05" * 32
RAW = JobSpec.from_toml_text(SPEC).to_bytes()


class Ended:
    """A node that knows one job, which was aborted meanwhile; and what it does about it."""

    def __init__(
        self, folder: Path, *, posted: bool = True, outcome: str = "", failure: Exception | None = None
    ) -> None:
        self.failure = failure
        self.seeds: list[bytes] = []
        self.statuses: list[tuple[str, str]] = []
        self.lines: list[str] = []
        self.files = JobFiles(folder, JOB)
        spec = JobSpec.from_bytes(RAW)
        roster = {name: "0x" + f"{place + 1:040x}" for place, name in enumerate(spec.names)}
        names = {address: name for name, address in roster.items()}
        view = SimpleNamespace(
            phase=Phase.ABORTED,
            roster=tuple(roster.values()),
            spec_digest=hashlib.sha256(RAW).digest(),
            policy=policy_of(spec),
        )
        state = SimpleNamespace(losses_root=b"\1" * 32 if posted else b"", outcome=outcome)
        record = JobRecord(JOB, 5, roster[spec.names[0]], RAW, "running")
        exchange: Any = SimpleNamespace(
            state=SimpleNamespace(jobs=lambda: [record], set_job_status=self.settled),
            consortium=SimpleNamespace(
                job=lambda job_id: view,
                deployment=SimpleNamespace(version=3, addresses={AUDITS: ""}),
                audits=SimpleNamespace(state=lambda job_id: state),
            ),
            directory=SimpleNamespace(participant=lambda address: SimpleNamespace(name=names[address])),
            subscriber=SimpleNamespace(resume=lambda job_id, block: None),
            channel=lambda *given, **named: SimpleNamespace(audit=SimpleNamespace(end=self.end)),
            forget=lambda job_id: None,
        )
        board: Any = SimpleNamespace(post=lambda event, **line: self.lines.append(line["status"]))
        config: Any = SimpleNamespace(name=spec.names[0], alignment=None, state=SimpleNamespace(folder=folder))
        self.jobs = Jobs(config, exchange, address=record.proposer, executor=Any, board=board, settler=Any)  # type: ignore[arg-type]

    def end(self, seed: bytes) -> None:
        self.seeds.append(seed)
        assert self.files.journal.exists, "the seed is kept until it is of no use any more"
        if self.failure is not None:
            raise self.failure

    def settled(self, job_id: JobId, status: str, error: str) -> None:
        self.statuses.append((status, error))

    def resumed(self) -> Ended:
        self.jobs.resume()
        self.jobs.join(10)
        return self


@pytest.fixture(autouse=True)
def secret(tmp_path: Path) -> None:
    JobFiles(tmp_path, JOB).journal.remember(REMEMBERED, lambda: SECRET)


def test_the_seed_that_it_committed_to_is_revealed_before_the_journal_goes(tmp_path: Path) -> None:
    found = Ended(tmp_path).resumed()
    assert found.seeds == [seed_of(SECRET)] == [Secrets(SECRET).of("seed")]
    ((status, error),) = found.statuses
    assert (status, error) == ("failed", "the job was aborted while this node was away")
    assert not found.files.journal.exists


@pytest.mark.parametrize("left", [{"posted": False}, {"outcome": "false"}])
def test_an_audit_that_is_over_or_never_had_losses_is_left(tmp_path: Path, left: dict[str, Any]) -> None:
    found = Ended(tmp_path, **left).resumed()
    assert (found.seeds, len(found.statuses)) == ([], 1)


def test_a_job_of_which_it_remembers_no_seed_is_over_at_once(tmp_path: Path) -> None:
    JobFiles(tmp_path, JOB).journal.forget()
    found = Ended(tmp_path).resumed()
    assert (found.seeds, len(found.statuses)) == ([], 1)


def test_a_node_that_stops_again_goes_on_after_the_next_start(tmp_path: Path) -> None:
    found = Ended(tmp_path, failure=StoppingError("this node is stopping")).resumed()
    assert (found.statuses, found.lines) == ([], ["paused"])
    assert found.files.journal.remembered(REMEMBERED) == SECRET


def test_what_goes_wrong_with_the_audit_ends_the_job_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Ended(tmp_path, failure=ChainError("not mined in time")).resumed()
    assert len(found.statuses) == 1
    assert "not mined in time" in capsys.readouterr().out
