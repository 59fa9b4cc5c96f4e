"""Companies whose nodes are killed and come back, on one chain with one deployment; jobs run one after another."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeVar

import numpy as np

from fedchain.chain import (
    Account,
    ChainClient,
    Consortium,
    Deployment,
    JobProposed,
    RequestClosed,
    RequestStatus,
    Sender,
    StrikeRecorded,
    UplinkJudged,
    deploy,
    dev_accounts,
)
from fedchain.errors import ChainError, ConfigError, FedchainError
from fedchain.federation.spec import JobSpec
from fedchain.federation.tables import read_party_table
from fedchain.node.control_client import ControlClient, Prediction
from fedchain.node.init import init_node
from fedchain.simulation.federation import simulate
from fedchain.types import JobId, Phase, Reason

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
FUNDS_WEI = 200 * 10**18
POINT_BYTES = 33
PATIENCE_SECONDS = 400.0
RESTART_SECONDS = 0.1

LAYERED = 'mode = "layered"\ndepth = 3\ntrees = 3\nmin_leaf_rows = 6\nmin_bin_rows = 5'
ALGORITHMS = {
    "layered": LAYERED,
    "standard": 'mode = "standard"\ndepth = 2\ntrees = 3',
    "pipelined": LAYERED,
}
"""By the name of a job; `pipelined` is one whose rounds go on chain as a whole, `standard` one that is audited."""
BUDGET = 1000
AUDIT = f"[contribution]\naudit = true\nopened_rows = 15\nwindow_seconds = 300\nbudget = {BUDGET}\n"
"""Its windows are longer than all the restarts of a plan take, so that nobody is silent."""


def wait_for(look: Callable[[], T | None], what: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Poll until `look` gives something true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


@dataclass(frozen=True)
class Arm:
    """Where a node is to die: at the `number`th time that it reaches a point."""

    point: str
    number: int = 1


@dataclass
class Company:
    """One party: its node's folder, and whoever starts the node again when it has died, as an init system would.

    Attributes:
        arms: where the node is to die, one after the other.
        fired: where it died.
    """

    name: str
    role: str
    folder: Path
    socket: Path
    account: Account
    arms: list[Arm] = field(default_factory=list)
    fired: list[Arm] = field(default_factory=list)
    deaths: int = 0
    _process: subprocess.Popen[bytes] | None = None
    _closing: bool = False
    _held: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def log(self) -> Path:
        """What the node says."""
        return self.folder / "log"

    def start(self) -> None:
        """Start the node, and keep it running."""
        self._held.set()
        self._thread = threading.Thread(target=self._supervise, daemon=True)
        self._thread.start()

    def _supervise(self) -> None:
        environment = os.environ | {"RECOVERY_ROLE": self.role, "RECOVERY_FOLDER": str(self.folder)}
        environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "tests.recovery.entry", str(self.folder / "node.toml"), str(self.socket)]
        while not self._closing:
            self._held.wait()
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=ROOT, env=environment
                )
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
            self.deaths += 1
            if (self.folder / "fired").exists():
                raw = json.loads((self.folder / "fired").read_text())
                (self.folder / "fired").unlink()
                self.fired.append(Arm(raw["point"], raw["number"]))
                if self.arms and self.arms[0] == self.fired[-1]:
                    self.arms.pop(0)
                    self._arm()
            time.sleep(RESTART_SECONDS)

    def arm(self, arms: Sequence[Arm]) -> None:
        """Let the node die at these points, one after the other."""
        self.arms, self.fired = list(arms), []
        self._arm()

    def disarm(self) -> list[Arm]:
        """Let the node live; returns the points that it did not reach."""
        left, self.arms = self.arms, []
        self._arm()
        return left

    def _arm(self) -> None:
        path = self.folder / "arm"
        if not self.arms:
            path.unlink(missing_ok=True)
            return
        part = path.with_suffix(".part")
        part.write_text(json.dumps({"point": self.arms[0].point, "number": self.arms[0].number}))
        part.replace(path)

    def kill(self) -> None:
        """End the node now, without warning; it is started again unless it is held."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def hold(self) -> None:
        """Do not start the node again before `release`."""
        self._held.clear()

    def release(self) -> None:
        """Start the node again."""
        self._held.set()

    def close(self) -> None:
        """End the node for good."""
        self._closing = True
        self._held.set()
        self.kill()
        if self._thread is not None:
            self._thread.join(10)
            self.kill()

    def client(self) -> ControlClient:
        """A connection to the node's control socket; ConfigError while it is down."""
        return ControlClient(self.socket)

    def job_line(self, job_id: JobId) -> dict[str, Any] | None:
        """How the node sees a job; None while it is down or does not know it."""
        try:
            with self.client() as client:
                lines = [line for line in client.status(job_id=job_id) if line["event"] == "job"]
        except FedchainError:
            return None
        return lines[-1] if lines else None

    def report(self, job_id: JobId) -> dict[str, Any]:
        """The finished job's report."""
        path = self.folder / "state" / "jobs" / job_id / "report.json"
        return json.loads(path.read_text())  # type: ignore[no-any-return]

    def points(self) -> list[str]:
        """All points that the node has reached, in order."""
        path = self.folder / "points"
        return path.read_text().splitlines() if path.exists() else []

    def ciphertexts(self) -> list[bytes]:
        """All curve points of gradients that this node ever encrypted to be sent."""
        path = self.folder / "ciphertexts"
        raw = path.read_bytes() if path.exists() else b""
        return [raw[place : place + POINT_BYTES] for place in range(0, len(raw), POINT_BYTES)]


def write_tables(folder: Path, names: Sequence[str], rows: int) -> dict[str, Path]:
    """A telecom company, a bank and a shop: one CSV each, overlapping customers, a label that needs them all."""
    rng = np.random.default_rng(11)
    features = rng.normal(size=(rows, 2 * len(names)))
    label = (features[:, ::2].sum(axis=1) + 0.4 * rng.normal(size=rows) > 0).astype(int)
    paths = {}
    for index, name in enumerate(names):
        kept = rng.permutation(rows)[: rows - rows // 20 * index]
        lines = ["id,x,y,churn" if index == 0 else "id,x,y"]
        for row in kept:
            values = ",".join(f"{value:.4f}" for value in features[row, 2 * index : 2 * index + 2])
            lines.append(f"c{row:05d},{values}" + (f",{label[row]}" if index == 0 else ""))
        paths[name] = folder / f"{name}.csv"
        paths[name].write_text("\n".join(lines) + "\n")
    return paths


class RecoveringFederation:
    """Three companies on one chain; the first one is the active party.

    Args:
        folder: for everything.
        rpc_url: of a chain with dev accounts.
        rows: of the tables.
        first: where each company's node dies before it has registered.
    """

    def __init__(self, folder: Path, rpc_url: str, rows: int = 160, first: Sequence[Arm] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.rpc_url = folder, rpc_url
        self._sockets = Path(mkdtemp(prefix="fc-"))
        self._numbers = count(1)
        self._digests: dict[str, str] = {}
        deployer, steward, bank = dev_accounts(3)
        self.chain = ChainClient(rpc_url)
        path = folder / "deployment.json"
        deploy(self.chain, deployer, [steward.address], path)
        deployment = Deployment.load(path)
        self.consortium = Consortium(self.chain, deployment, Sender(self.chain, steward))
        suffix = secrets.token_hex(2)
        names = [f"{name}-{suffix}" for name in ("operator", "bank", "shop")]
        self.tables = write_tables(folder, names, rows)
        funds = Sender(self.chain, bank)
        self.companies: list[Company] = []
        for index, name in enumerate(names):
            init_node(folder / name, name, path, rpc_url, self.tables[name])
            _weaken_keystore(folder / name)
            toml = folder / name / "node.toml"
            toml.write_text(re.sub(r"(?m)^# threads = .*$", "threads = 1", toml.read_text()))
            account = Account.from_keystore(
                folder / name / "keystore.json", (folder / name / "passphrase").read_text().strip()
            )
            funds.transfer(account.address, FUNDS_WEI)
            role = "passive" if index else "active"
            self.companies.append(Company(name, role, folder / name, self._sockets / f"{index}.sock", account))
        for company, arm in zip(self.companies, first, strict=False):
            company.arm([arm])
        for company in self.companies:
            company.start()
        for company in self.companies:
            wait_for(lambda name=company.name: self.consortium.address_of(name), f"{company.name} to register")  # type: ignore[misc]
            self.consortium.accredit(company.account.address)

    @property
    def active(self) -> Company:
        """The active party."""
        return self.companies[0]

    def close(self) -> None:
        """End all nodes."""
        for company in self.companies:
            company.close()
        shutil.rmtree(self._sockets, ignore_errors=True)

    # -- jobs -------------------------------------------------------------------------------------------------------

    def toml(self, algorithm: str, name: str) -> str:
        """A job file."""
        parties = "".join(
            f'[[parties]]\nname = "{company.name}"\nrole = "{company.role}"\n'
            + ('label = "churn"\n' if company.role == "active" else "")
            for company in self.companies
        )
        return (
            f'schema = 1\nname = "{name}"\n[algorithm]\n{ALGORITHMS[algorithm]}\nbins = 8\n'
            f"[alignment]\nmin_rows = 20\n[policy]\ndeadline_seconds = 90.0\n"
            f'consumption = "{"pipelined" if algorithm == "pipelined" else "strict"}"\n'
            f"{AUDIT if algorithm == 'standard' else ''}{parties}"
        )

    def undisturbed(self, algorithm: str) -> str:
        """The model's digest where nobody dies: of a simulation."""
        if algorithm not in self._digests:
            spec = JobSpec.from_toml_text(self.toml(algorithm, "undisturbed"))
            tables = {party: read_party_table(self.tables[party], spec, party) for party in spec.names}
            self._digests[algorithm] = simulate(spec, tables).active.model_digest
        return self._digests[algorithm]

    def submit(self, algorithm: str) -> JobId:
        """The active party's people propose a job, once more where the node died under their hands."""
        name = f"{algorithm}-{next(self._numbers)}"
        toml = self.toml(algorithm, name).encode()

        def submitted() -> JobId | None:
            try:
                with self.active.client() as client:
                    return client.submit(toml)
            except (ConfigError, ChainError):
                return self._proposed(name)  # it may have arrived

        return wait_for(submitted, "the active party's node to take the job")

    def _proposed(self, name: str) -> JobId | None:
        try:
            events = self.consortium.events(0, self.chain.head())
        except ChainError:
            return None
        proposals = [event for event in events if isinstance(event, JobProposed)]
        return next((one.job_id for one in proposals if JobSpec.from_bytes(one.spec).name == name), None)

    def complete(self, job_id: JobId, algorithm: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until the job is completed at every node; the model must be the undisturbed one."""
        expected = self.undisturbed(algorithm)
        for company in self.companies:

            def over(company: Company = company) -> dict[str, Any] | None:
                line = company.job_line(job_id)
                return line if line and line["status"] in ("completed", "failed", "declined") else None

            end = wait_for(over, f"the job at {company.name}", seconds)
            assert end["status"] == "completed", f"{company.name}: {end['error']}"
            assert company.report(job_id)["model_digest"] == expected, company.name

        def completed() -> bool:
            try:
                return self.consortium.job(job_id).phase == Phase.COMPLETED
            except ChainError:  # the chain may be dead just now
                return False

        wait_for(completed, "the job to be completed on the chain", 30.0)
        if algorithm == "standard":
            wait_for(lambda: self._is_settled(job_id), "the settlement", 30.0)

    def _is_settled(self, job_id: JobId) -> bool:
        """Whether the job's shares are settled; its audit must have found all sound, and nobody silent."""
        try:
            state = self.consortium.audits.state(job_id)
            settlement = self.consortium.settlements.settlement(job_id)
        except ChainError:  # the chain may be dead just now
            return False
        assert state is not None
        assert (state.outcome, state.votes, state.silent) == ("verified", (0, 1, 1), (0, 0, 0))
        assert settlement is None or sum(settlement.points) == BUDGET
        return settlement is not None

    def predict(self, job_id: JobId, asker: Company, positions: Sequence[int]) -> Prediction:
        """Ask for scores, once more where the node died under the asker's hands."""

        def asked() -> Prediction | None:
            try:
                with asker.client() as client:
                    return client.predict(job_id, positions)
            except (ConfigError, ChainError) as error:  # it or the chain died
                if "answer" not in str(error):
                    raise
                return None

        return wait_for(asked, f"scores for {asker.name}")

    # -- what must hold after any number of deaths ------------------------------------------------------------------

    def check_record(self, job_id: JobId) -> None:
        """No uplink of the job was rejected, no slot holds two digests, nobody has a strike, no mask served twice.

        An answer may meet a request that its asker, killed and back, has closed: that is rejected, and nobody's fault.
        """
        slots: dict[tuple[object, ...], bytes] = {}
        expired: set[int] = set()
        for event in self.consortium.events(0, self.chain.head()):
            assert not isinstance(event, StrikeRecorded), event
            if isinstance(event, RequestClosed) and event.job_id == job_id and event.outcome == RequestStatus.EXPIRED:
                expired.add(event.request_id)
            if isinstance(event, UplinkJudged) and event.job_id == job_id:
                one = event.envelope
                if event.reason == Reason.WRONG_ROUND and one.round in expired:
                    continue
                assert event.reason == Reason.ACCEPTED, event
                slot = (event.sender, one.round, one.attempt, one.step, one.kind, one.recipient)
                assert slots.setdefault(slot, one.digest) == one.digest, f"two digests in {slot}"
        assert slots
        assert self.consortium.counts(job_id)[0] == len(slots)
        for company in self.companies:
            journal = company.folder / "state" / "jobs" / job_id / "journal"
            wait_for(lambda journal=journal: not journal.exists(), f"{company.name} to forget its journal", 30.0)  # type: ignore[misc]
        points = self.active.ciphertexts()
        assert points
        assert len(set(points)) == len(points), "a mask was used twice"


def _weaken_keystore(folder: Path) -> None:
    """Key stretching takes a second; a node that is started a hundred times need not wait for it."""
    passphrase = (folder / "passphrase").read_text().strip()
    account = Account.from_keystore(folder / "keystore.json", passphrase)
    (folder / "keystore.json").unlink()
    account.save_keystore(folder / "keystore.json", passphrase, iterations=2)
