"""Three whole nodes over the embedded chain: a real job from proposal to scores, and what happens around it."""

from __future__ import annotations

import json
import secrets
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedchain.chain import Account, ChainClient, Consortium, Deployment, DevChain, Sender, Terms
from fedchain.errors import (
    ChainUnreachableError,
    CheckpointError,
    ConfigError,
    ModelFormatError,
    NotAccreditedError,
    WrongChainError,
)
from fedchain.exchange.records import OutgoingUplink
from fedchain.exchange.state import NodeState
from fedchain.federation.spec import JobSpec
from fedchain.federation.tables import read_party_table
from fedchain.node.config import NodeConfig, load_config
from fedchain.node.control_client import ControlClient
from fedchain.node.init import init_node
from fedchain.node.running import run_node
from fedchain.node.runtime import Node
from fedchain.simulation.federation import simulate
from fedchain.types import JobId, Kind, Phase, Status
from tests.certificates import STAND_IN_KEY, stand_in_certificate

pytestmark = pytest.mark.timeout(120)

ROWS = 160


@dataclass
class Member:
    """A node in a thread."""

    name: str
    config: NodeConfig
    account: Account
    node: Node | None = None
    thread: threading.Thread | None = None
    stop: threading.Event | None = None
    error: BaseException | None = None

    def start(self) -> None:
        """Run the node; returns once it takes jobs."""
        ready, self.stop, self.error = threading.Event(), threading.Event(), None

        def on_ready(node: Node) -> None:
            self.node = node
            ready.set()

        def run() -> None:
            assert self.stop is not None
            try:
                run_node(self.config, self.stop, wait_for_accreditation=False, on_ready=on_ready)
            except BaseException as error:
                self.error = error
                ready.set()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        assert ready.wait(20)
        if self.error is not None:
            raise self.error

    def halt(self) -> None:
        """Stop the node and wait until it is gone."""
        if self.stop is not None and self.thread is not None:
            self.stop.set()
            self.thread.join(20)
            assert not self.thread.is_alive()

    def client(self) -> ControlClient:
        """A connection to its control socket."""
        return ControlClient(self.config.control_socket)

    def wait(self, job_id: JobId, seconds: float = 60.0) -> dict[str, Any]:
        """The job's last line, once it is over at this node."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with self.client() as client:
                lines = [line for line in client.status(job_id=job_id) if line["event"] == "job"]
            if lines and lines[-1]["status"] in ("completed", "failed", "declined"):
                return lines[-1]
            time.sleep(0.1)
        raise AssertionError(f"job not over at {self.name} after {seconds} s: {lines}")


def write_tables(folder: Path, names: list[str]) -> dict[str, Path]:
    """One CSV per party; the label depends on features of all of them."""
    rng = np.random.default_rng(7)
    features = rng.normal(size=(ROWS, 3))
    label = (features.sum(axis=1) + 0.3 * rng.normal(size=ROWS) > 0).astype(int)
    paths = {}
    for index, name in enumerate(names):
        order = rng.permutation(ROWS)[: ROWS - 10 * index]
        lines = ["id,x,churn" if index == 0 else "id,x"]
        for row in order:
            lines.append(f"c{row:04d},{features[row, index]:.5f}" + (f",{label[row]}" if index == 0 else ""))
        paths[name] = folder / f"{name}.csv"
        paths[name].write_text("\n".join(lines) + "\n")
    return paths


def job_toml(
    names: list[str],
    *,
    name: str = "churn",
    deadline: float = 30.0,
    label: str = "churn",
    algorithm: str = 'mode = "standard"\ndepth = 2',
) -> bytes:
    """A small job; `algorithm` are further lines of its table."""
    parties = "".join(
        f'[[parties]]\nname = "{party}"\nrole = "{"passive" if index else "active"}"\n'
        + ("" if index else f'label = "{label}"\n')
        for index, party in enumerate(names)
    )
    return (
        f'schema = 1\nname = "{name}"\n[algorithm]\n{algorithm}\ntrees = 2\nbins = 8\n'
        f"[alignment]\nmin_rows = 20\n[policy]\ndeadline_seconds = {deadline}\n{parties}"
    ).encode()


@pytest.fixture
def members(
    tmp_path: Path, chain: DevChain, deployment: Deployment, deployment_path: Path, bank: Sender, steward: Consortium
) -> Iterator[list[Member]]:
    """Three registered and accredited parties with node folders; their nodes are not running."""
    yield from made_members(tmp_path, chain, deployment, deployment_path, bank, steward)


def made_members(
    tmp_path: Path, chain: DevChain, deployment: Deployment, deployment_path: Path, bank: Sender, steward: Consortium
) -> Iterator[list[Member]]:
    """As `members`; they are halted when the iterator goes on."""
    suffix = secrets.token_hex(3)
    names = [f"{name}-{suffix}" for name in ("operator", "bank", "shop")]
    tables = write_tables(tmp_path, names)
    made: list[Member] = []
    for name in names:
        init_node(tmp_path / name, name, deployment_path, chain.rpc_url, tables[name])
        config = load_config(tmp_path / name / "node.toml")
        socket = config.serve.model_copy(update={"control_socket": tmp_path / f"{name[0]}.sock"})
        config = config.model_copy(update={"serve": socket})
        account = Account.from_keystore(config.keys.keystore, config.passphrase())
        bank.transfer(account.address, 10**18)
        client = ChainClient(chain.rpc_url)
        consortium = Consortium(client, deployment, Sender(client, account))
        consortium.register(name, "127.0.0.1:1", stand_in_certificate(name), STAND_IN_KEY)
        steward.accredit(account.address)
        made.append(Member(name, config, account))
    yield made
    for member in made:
        member.halt()


@pytest.fixture(autouse=True)
def quick_keystores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weak key stretching: a full one takes a second per keystore."""
    save = Account.save_keystore
    monkeypatch.setattr(Account, "save_keystore", lambda self, path, phrase: save(self, path, phrase, iterations=2))


def test_a_job_runs_from_proposal_to_scores_and_survives_restarts(members: list[Member], steward: Consortium) -> None:
    for member in members:
        member.start()
    names = [member.name for member in members]
    operator, bank, _ = members
    seen: list[dict[str, Any]] = []

    def watch() -> None:
        with bank.client() as client:
            seen.extend(client.status(follow=True))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with operator.client() as client:
        job_id = client.submit(job_toml(names))
    for member in members:
        end = member.wait(job_id)
        assert end["status"] == "completed", end["error"]
    assert steward.job(job_id).phase == Phase.COMPLETED

    reports = []
    for member in members:
        folder = member.config.state.folder / "jobs" / job_id
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
        reports.append(json.loads((folder / "report.json").read_text()))
        digest = steward.shard_digest(job_id, member.account.address)
        assert digest is not None
        assert digest.hex() == reports[-1]["shard_digest"]
    assert len({report["model_digest"] for report in reports}) == 1
    record = steward.contribution(job_id)
    assert record is not None
    assert list(record.shares_e6) == reports[0]["shares_e6"]
    assert steward.inference.terms(job_id) == Terms(100_000, 86_400)

    with operator.client() as client:
        holdout = client.predict(job_id, "holdout")
    np.testing.assert_array_equal(holdout.positions, reports[0]["holdout_positions"])
    np.testing.assert_allclose(holdout.scores, reports[0]["holdout_scores"])

    for member in members:
        member.halt()
    watcher.join(5)
    stages = {line["stage"] for line in seen if line["event"] == "stage"}
    assert {"align", "train", "shard"} <= stages

    for member in members:
        member.start()
    with bank.client() as client:
        asked = [int(holdout.positions[3]), int(holdout.positions[0]), int(holdout.positions[3])]
        again = client.predict(job_id, asked)
        np.testing.assert_allclose(again.scores, holdout.scores[[3, 0, 3]])
        assert again.request_id == holdout.request_id + 1
        with pytest.raises(ConfigError, match="only the active party"):
            client.predict(job_id, "holdout")
        with pytest.raises(ConfigError, match="aligned rows"):
            client.predict(job_id, [10**6])
        with pytest.raises(ConfigError, match="unknown"):
            client.predict(JobId("0x" + "00" * 32), [1])


@pytest.mark.parametrize(
    "algorithm",
    [
        "",  # the defaults: layered
        'mode = "mix"\ndepth = 2\nobjective = "multiclass"\nclasses = 2',
        pytest.param(
            'mode = "standard"\ndepth = 2\nobjective = "poisson"\ngoss_top = 0.3\ngoss_other = 0.3',
            marks=pytest.mark.soak,
        ),
        pytest.param(
            'mode = "standard"\ndepth = 4\ngrowth = "leaf_wise"\nmax_leaves = 4',
            marks=pytest.mark.soak,
        ),
        *(
            pytest.param(f'mode = "{mode}"\ndepth = 3\nobjective = {objective}', marks=pytest.mark.soak)
            for mode in ("layered", "standard", "mix")
            for objective in ('"binary"', '"multiclass"\nclasses = 2', '"squared_error"', '"poisson"', '"tweedie"')
        ),
    ],
)
def test_nodes_train_the_simulation_s_model_in_every_mode(members: list[Member], algorithm: str) -> None:
    for member in members:
        member.start()
    toml = job_toml([member.name for member in members], algorithm=algorithm)
    with members[0].client() as client:
        job_id = client.submit(toml)
        for member in members:
            end = member.wait(job_id)
            assert end["status"] == "completed", end["error"]
        scores = client.predict(job_id, "holdout").scores
    spec = JobSpec.from_toml_text(toml.decode())
    tables = {
        party: read_party_table(member.config.table, spec, party)
        for party, member in zip(spec.names, members, strict=True)
    }
    simulated = simulate(spec, tables).active
    report = json.loads((members[0].config.state.folder / "jobs" / job_id / "report.json").read_text())
    assert report["model_digest"] == simulated.model_digest
    np.testing.assert_array_equal(scores, simulated.holdout_scores)
    np.testing.assert_array_equal(np.asarray(report["holdout_scores"]), simulated.holdout_scores)
    assert pool_threads() == [], "of masks made ahead"


def pool_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fedchain-pool"]


def folder_of(member: Member, job_id: JobId) -> Path:
    return member.config.state.folder / "jobs" / job_id


def report_of(member: Member, job_id: JobId) -> dict[str, Any]:
    return json.loads((folder_of(member, job_id) / "report.json").read_text())  # type: ignore[no-any-return]


def test_nodes_continue_a_model_and_a_node_that_has_lost_it_gives_up(
    members: list[Member], steward: Consortium, chain: DevChain
) -> None:
    """Two rounds and two more are the simulation's model of four; one node crashed before it knew the first digest."""
    for member in members:
        member.start()
    operator, bank, _ = members
    names = [member.name for member in members]
    with operator.client() as client:
        first = client.submit(job_toml(names, algorithm="depth = 3"))
    for member in members:
        end = member.wait(first)
        assert end["status"] == "completed", end["error"]
    model = report_of(operator, first)["model_digest"]

    bank.halt()
    path = folder_of(bank, first) / "report.json"
    path.write_text(json.dumps(report_of(bank, first) | {"model_digest": ""}))
    node = ChainClient(chain.rpc_url)
    state = NodeState(
        bank.config.state.folder / "node.sqlite", chain_id=node.chain_id, genesis_hash=node.genesis_hash()
    )
    state.set_job_status(first, "running")
    state.close()
    bank.start()
    assert report_of(bank, first)["model_digest"] == model

    warm = job_toml(names, name="more", algorithm="depth = 3") + f'[warm_start]\nmodel = "{model}"\n'.encode()
    with bank.client() as client:
        second = client.submit(warm)
    for member in members:
        end = member.wait(second)
        assert end["status"] == "completed", end["error"]
    spec = JobSpec.from_toml_text(
        job_toml(names, algorithm="depth = 3\ntrees = 4").replace(b"\ntrees = 2", b"").decode()
    )
    tables = {
        party: read_party_table(member.config.table, spec, party)
        for party, member in zip(spec.names, members, strict=True)
    }
    whole = simulate(spec, tables)
    for member, outcome in zip(members, whole.outcomes.values(), strict=True):
        report = report_of(member, second)
        assert (report["model_digest"], report["trees"]) == (outcome.model_digest, 4)
        digest = steward.shard_digest(second, member.account.address)
        assert digest is not None
        assert digest == outcome.shard.digest()

    (folder_of(bank, first) / "shard").write_bytes(b"{}")
    with bank.client() as client, pytest.raises(ModelFormatError, match="not"):
        client.submit(warm)
    path.unlink()
    with bank.client() as client, pytest.raises(CheckpointError, match=f"{model}, and no finished job under"):
        client.submit(warm)
    with operator.client() as client:
        third = client.submit(warm)
    ends = {member.name: member.wait(third) for member in members}
    assert {end["status"] for end in ends.values()} == {"failed"}
    assert "no finished job under" in ends[bank.name]["error"]
    assert f"party {bank.name} cannot take part: CheckpointError" in ends[operator.name]["error"]


def test_a_table_without_the_jobs_column_aborts_the_job_and_tells_no_details(members: list[Member]) -> None:
    for member in members:
        member.start()
    names = [member.name for member in members]
    with members[1].client() as client:
        job_id = client.submit(job_toml(names, label="no_such_column", name="odd"))
    ends = [member.wait(job_id) for member in members]
    assert [end["status"] for end in ends] == ["failed"] * 3
    assert "no_such_column" in ends[0]["error"]
    assert all("DataError" in end["error"] and "no_such_column" not in end["error"] for end in ends[1:])


def test_other_terms_than_the_spec_s_end_the_job_and_name_the_active_party(
    members: list[Member], steward: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedchain.node.jobs.terms_of", lambda spec: Terms(2**40, 60))
    for member in members:
        member.start()
    names = [member.name for member in members]
    with members[1].client() as client:
        job_id = client.submit(job_toml(names, name="greedy"))
    ends = [member.wait(job_id) for member in members]
    assert steward.job(job_id).phase is Phase.ABORTED
    errors = [end["error"] for end in ends]
    assert any(f"TermsError: party '{names[0]}': set other terms" in error for error in errors[1:]), errors
    assert not any(end["status"] == "completed" for end in ends)


def test_what_a_user_submits_wrongly_comes_back_as_the_nodes_own_error(members: list[Member]) -> None:
    members[0].start()
    names = [member.name for member in members]
    with members[0].client() as client:
        with pytest.raises(ConfigError, match=r"my\.toml"):
            client.submit(b"schema = 1\nunknown_key = 2\n", "my.toml")
        with pytest.raises(ConfigError, match="nobody-knows"):
            client.submit(job_toml([names[0], "nobody-knows"]))
        with pytest.raises(ConfigError, match="this node is"):
            client.submit(job_toml(names[1:]))


def test_a_job_with_a_suspended_party_is_refused_and_names_it(members: list[Member], steward: Consortium) -> None:
    members[0].start()
    steward.suspend(members[2].account.address, "for a test")
    with members[0].client() as client, pytest.raises(NotAccreditedError, match=members[2].name):
        client.submit(job_toml([member.name for member in members]))


def test_a_node_declines_jobs_that_are_not_on_its_list(members: list[Member]) -> None:
    picky = members[1]
    jobs = picky.config.jobs.model_copy(update={"accept": ("another",)})
    picky.config = picky.config.model_copy(update={"jobs": jobs})
    for member in members:
        member.start()
    with members[0].client() as client:
        job_id = client.submit(job_toml([member.name for member in members], deadline=1.5))
    assert picky.wait(job_id)["status"] == "declined"
    end = members[0].wait(job_id)
    assert end["status"] == "failed"
    assert "DeadlineError" in end["error"]


def test_a_node_that_stops_during_a_job_pauses_it_and_goes_on_when_it_is_started_again(
    members: list[Member], steward: Consortium
) -> None:
    for member in members[:2]:
        member.start()
    with members[0].client() as client:
        job_id = client.submit(job_toml([member.name for member in members]))
    deadline = time.monotonic() + 20
    while not steward.has_accepted(job_id, members[1].account.address) and time.monotonic() < deadline:
        time.sleep(0.05)
    members[1].halt()
    members[0].halt()
    assert steward.job(job_id).phase == Phase.PROPOSED
    for member in members:
        member.start()
    for member in members:
        end = member.wait(job_id)
        assert end["status"] == "completed", end["error"]
        assert not (folder_of(member, job_id) / "journal").exists()


def test_a_table_that_was_changed_while_the_node_was_down_ends_the_job(
    members: list[Member], steward: Consortium
) -> None:
    for member in members[:2]:
        member.start()
    with members[0].client() as client:
        job_id = client.submit(job_toml([member.name for member in members]))
    journal = folder_of(members[1], job_id) / "journal"
    deadline = time.monotonic() + 20
    while not steward.has_accepted(job_id, members[1].account.address) and time.monotonic() < deadline:
        time.sleep(0.05)
    members[1].halt()
    assert {path.name for path in journal.iterdir()} == {"table.secret"}
    path = members[1].config.data.path
    assert path is not None
    with path.open("a") as table:
        table.write("c9999,0.5\n")
    members[1].start()
    end = members[1].wait(job_id)
    assert end["status"] == "failed"
    assert f"{path}: changed since this node began the job" in end["error"]
    assert f"party {members[1].name} cannot take part: DataError" in members[0].wait(job_id)["error"]
    assert steward.job(job_id).phase == Phase.ABORTED


def test_pools_end_with_a_job_that_ends_in_the_middle_of_training(members: list[Member], steward: Consortium) -> None:
    for member in members:
        member.start()
    with members[0].client() as client:
        toml = job_toml([member.name for member in members], deadline=10.0).replace(b"trees = 2", b"trees = 500")
        job_id = client.submit(toml)
    deadline, seen = time.monotonic() + 60, 0
    while steward.job(job_id).round < 2 and time.monotonic() < deadline:
        seen = max(seen, len(pool_threads()))
        time.sleep(0.02)
    members[1].halt()
    for member in members[:1] + members[2:]:
        assert member.wait(job_id)["status"] == "failed"
    assert seen == len(members), "masks at the active party, zeros at each passive one"
    assert pool_threads() == []


def test_a_node_on_the_wrong_chain_or_none_does_not_start(members: list[Member]) -> None:
    chain = members[0].config.chain
    wrong = members[0].config.model_copy(update={"chain": chain.model_copy(update={"chain_id": 999})})
    with pytest.raises(WrongChainError, match="999"):
        run_node(wrong, threading.Event())
    dead = members[0].config.model_copy(update={"chain": chain.model_copy(update={"rpc": "http://127.0.0.1:9"})})
    with pytest.raises(ChainUnreachableError):
        run_node(dead, threading.Event())


def test_a_node_that_is_not_accredited_registers_and_then_waits_or_fails(
    tmp_path: Path, chain: DevChain, deployment_path: Path, bank: Sender, steward: Consortium
) -> None:
    name = f"new-{secrets.token_hex(3)}"
    config = init_node(tmp_path / "n", name, deployment_path, chain.rpc_url, tmp_path / "data.csv")
    serve = config.serve.model_copy(update={"control_socket": tmp_path / "n.sock"})
    config = config.model_copy(update={"serve": serve})
    account = Account.from_keystore(config.keys.keystore, config.passphrase())
    bank.transfer(account.address, 10**18)
    with pytest.raises(NotAccreditedError, match="steward"):
        run_node(config, threading.Event(), wait_for_accreditation=False)
    assert steward.participant(account.address).status == Status.REGISTERED

    ready, stop = threading.Event(), threading.Event()
    thread = threading.Thread(target=run_node, args=(config, stop), kwargs={"on_ready": lambda node: ready.set()})
    thread.start()
    try:
        assert not ready.wait(0.7)
        endpoint = steward.participant(account.address).endpoint
        steward.accredit(account.address)
        assert ready.wait(10)
        assert endpoint.startswith("127.0.0.1:")
        with ControlClient(config.control_socket) as client:
            client.shut_down()
        thread.join(10)
        assert not thread.is_alive()
    finally:
        stop.set()
        thread.join(10)


def test_a_name_that_somebody_else_holds_is_refused(members: list[Member], tmp_path: Path, bank: Sender) -> None:
    config = init_node(
        tmp_path / "thief",
        members[0].name,
        members[0].config.chain.deployment,
        members[0].config.chain.rpc,
        tmp_path / "d",
    )
    serve = config.serve.model_copy(update={"control_socket": tmp_path / "t.sock"})
    bank.transfer(Account.from_keystore(config.keys.keystore, config.passphrase()).address, 10**18)
    with pytest.raises(ConfigError, match="registered by"):
        run_node(config.model_copy(update={"serve": serve}), threading.Event())


PROGRAM = """
import sys, threading
from pathlib import Path
from fedchain.node.config import load_config
from fedchain.node.running import run_node
config = load_config(Path(sys.argv[1]))
serve = config.serve.model_copy(update={"control_socket": Path(sys.argv[2])})
run_node(config.model_copy(update={"serve": serve}), threading.Event(), until_stdin_closes=True)
"""


@contextmanager
def node_process(node_toml: Path, socket: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A node in a process of its own, from when its socket is there; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(node_toml), str(socket)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        try:
            deadline = time.monotonic() + 30
            while not socket.exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            assert process.poll() is None
            assert socket.exists()
            yield process
        finally:
            process.kill()


def killed_after_accepting(members: list[Member], steward: Consortium, tmp_path: Path) -> JobId:
    """The second member accepts a job, then its process is killed; the third has not started."""
    members[0].start()
    config = members[1].config
    with node_process(config.keys.keystore.parent / "node.toml", config.control_socket):
        with members[0].client() as client:
            job_id = client.submit(job_toml([member.name for member in members]))
        deadline = time.monotonic() + 20
        while not steward.has_accepted(job_id, members[1].account.address) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert steward.job(job_id).phase == Phase.PROPOSED
    return job_id


def test_a_node_killed_before_it_sent_anything_goes_on_with_the_job(
    members: list[Member], steward: Consortium, tmp_path: Path
) -> None:
    job_id = killed_after_accepting(members, steward, tmp_path)
    members[1].start()
    members[2].start()
    assert [member.wait(job_id)["status"] for member in members] == ["completed"] * 3


def test_a_recorded_uplink_that_does_not_follow_from_the_journal_ends_the_job(
    members: list[Member], steward: Consortium, tmp_path: Path, chain: DevChain
) -> None:
    """A state folder that was put together from two backups: the node commits to nothing else than it has recorded."""
    job_id = killed_after_accepting(members, steward, tmp_path)
    client = ChainClient(chain.rpc_url)
    path = members[1].config.state.folder / "node.sqlite"
    state = NodeState(path, chain_id=client.chain_id, genesis_hash=client.genesis_hash())
    state.prepare(OutgoingUplink(job_id, 0, 0, 0, Kind.PUBLIC_KEY, "", bytes(32), 1, 0, b"x"))
    state.close()
    members[1].start()
    members[2].start()
    end = members[1].wait(job_id)
    assert end["status"] == "failed"
    assert "does not show two digests for one slot" in end["error"]
    assert steward.job(job_id).phase == Phase.ABORTED
    assert members[1].name in members[0].wait(job_id)["error"]


def test_a_node_does_not_survive_the_parent_that_started_it(
    tmp_path: Path, chain: DevChain, deployment_path: Path, bank: Sender
) -> None:
    name = f"orphan-{secrets.token_hex(3)}"
    config = init_node(tmp_path / "n", name, deployment_path, chain.rpc_url, tmp_path / "data.csv")
    bank.transfer(Account.from_keystore(config.keys.keystore, config.passphrase()).address, 10**18)
    with node_process(tmp_path / "n" / "node.toml", tmp_path / "o.sock") as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) == 0
