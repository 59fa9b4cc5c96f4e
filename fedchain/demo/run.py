"""The whole job on one machine, for real: a chain, the contracts, one node process per party, one model.

Start → alignment → training → contribution → batch inference on the held-out rows → report.
"""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType

import numpy as np
from sklearn.metrics import roc_auc_score

from fedchain.chain import (
    CHAIN_KINDS,
    ChainClient,
    Consortium,
    Deployment,
    JobView,
    Sender,
    deploy,
    dev_accounts,
    start_dev_chain,
)
from fedchain.chain.events import JobAborted
from fedchain.demo.options import DemoOptions
from fedchain.demo.processes import NodeProcess
from fedchain.demo.progress import DemoProgress
from fedchain.demo.report import ChainUse, DemoReport, Seconds
from fedchain.errors import ConfigError, DeadlineError, FedchainError, JobAbortedError
from fedchain.federation.spec import JobSpec
from fedchain.federation.tables import read_party_table
from fedchain.model.shard import model_digest
from fedchain.node.control_client import ControlClient
from fedchain.node.init import init_node
from fedchain.simulation.reference import Reference, plaintext_reference
from fedchain.types import JobId, PartyId, Phase, Status

FUNDING_WEI = 10**20
POLL_SECONDS = 0.2
START_DEADLINE_SECONDS = 60.0
PHASE_OF_STAGE = {"align": Phase.TRAINING, "train": Phase.EVALUATING, "contribution": Phase.COMPLETED}


@dataclass
class _Stopwatch:
    """Cuts the run into disjoint pieces."""

    begun: float = field(default_factory=time.perf_counter)
    seconds: dict[str, float] = field(default_factory=dict)

    def cut(self, name: str) -> None:
        """End the piece that ran until now."""
        now = time.perf_counter()
        self.seconds[name] = now - self.begun
        self.begun = now


def run_demo(options: DemoOptions, progress: DemoProgress) -> DemoReport:
    """Run the demo and write its report.

    Everything that it started is stopped when it returns or raises; children also end by themselves should this
    process be killed.

    Raises:
        ConfigError, DataError, AlignmentError: the job or a table does not serve.
        JobAbortedError: the job was aborted on chain; says by whom and why.
        FedchainError: a node ended, or whatever else went wrong.
    """
    watch = _Stopwatch()
    with ExitStack() as stack:
        stack.enter_context(_signals_unwind())
        workdir = _workdir(options, stack)
        spec = options.load_job()
        if spec.algorithm.objective != "binary":
            raise ConfigError(
                f"job '{spec.name}' has objective '{spec.algorithm.objective}'; the demo compares AUCs of objective "
                "'binary'; use `fedchain simulate` or nodes"
            )
        progress.expect(spec)
        files = options.tables(spec, workdir)
        tables = {name: read_party_table(files[name], spec, name) for name in spec.names}
        federation = _Federation.start(options, spec, files, workdir, stack, progress)
        progress.say("training the plaintext reference while the nodes start")
        reference = plaintext_reference(spec, tables)
        federation.accredit()
        job_id = federation.submit(options, spec)
        watch.cut("start")
        for stage, until in PHASE_OF_STAGE.items():
            federation.follow(job_id, until, progress)
            watch.cut(stage)
        progress.say("asking for scores of the held-out rows")
        with federation.control() as control:
            prediction = control.predict(job_id, "holdout")
        progress.finish()
        report = federation.report(options, spec, job_id, reference, prediction.positions, prediction.scores)
        watch.cut("predict")
        report.seconds = Seconds(**{name: round(value, 3) for name, value in watch.seconds.items()})
        report.save(options.report)
    return report


@dataclass
class _Federation:
    """A running chain with deployed contracts and one node per party."""

    client: ChainClient
    consortium: Consortium
    nodes: Mapping[PartyId, NodeProcess]
    first_block: int

    @classmethod
    def start(
        cls,
        options: DemoOptions,
        spec: JobSpec,
        files: Mapping[PartyId, Path],
        workdir: Path,
        stack: ExitStack,
        progress: DemoProgress,
    ) -> _Federation:
        rpc_url = _chain(options.chain, workdir, stack, progress)
        client = stack.enter_context(ChainClient(rpc_url))
        first_block = client.head() + 1
        steward, deployment_file = dev_accounts(1)[0], workdir / "deployment.json"
        if client.balance(steward.address) < FUNDING_WEI * (len(files) + 1):
            raise ConfigError(
                f"--chain {client.rpc_url}: development account {steward.address} has no ether there; "
                "the demo wants a development chain (`fedchain chain start`)"
            )
        deploy(client, steward, [steward.address], deployment_file)
        sender = Sender(client, steward)
        progress.say("making keys and starting the nodes of " + ", ".join(spec.names))

        def launch(name: PartyId) -> NodeProcess:
            config = init_node(workdir / name, name, deployment_file, rpc_url, files[name])
            return NodeProcess.start(name, config, workdir / name)

        nodes: dict[PartyId, NodeProcess] = {}
        with ThreadPoolExecutor() as pool:  # encrypting a keystore takes a second on purpose
            for future in as_completed([pool.submit(launch, name) for name in spec.names]):
                node = stack.enter_context(future.result())
                nodes[node.name] = node
                sender.transfer(node.address, FUNDING_WEI)
        consortium = Consortium(client, Deployment.load(deployment_file), sender)
        return cls(client, consortium, {name: nodes[name] for name in spec.names}, first_block)

    def accredit(self) -> None:
        """As the steward: accredit every party as soon as its node has registered it."""
        for name in self.nodes:
            address = self._await(partial(self.consortium.address_of, name), f"node '{name}' to register")
            if self.consortium.participant(address).status is Status.REGISTERED:
                self.consortium.accredit(address)

    def _await(self, look: Callable[[], object], what: str) -> str:
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        while time.monotonic() < deadline:
            found = look()
            if found:
                return str(found)
            for node in self.nodes.values():
                node.require_alive()
            time.sleep(POLL_SECONDS)
        raise DeadlineError(f"waited {START_DEADLINE_SECONDS:.0f} s for {what}")

    def control(self) -> ControlClient:
        """A connection to the active party's node."""
        return ControlClient(next(iter(self.nodes.values())).config.control_socket, connect_seconds=10.0)

    def submit(self, options: DemoOptions, spec: JobSpec) -> JobId:
        """Propose the job through the active party's node and wait until all have accepted."""
        operator = next(iter(self.nodes.values()))
        self._await(operator.config.control_socket.is_socket, "the operator's node to be ready")
        with self.control() as control:
            job_id = control.submit(spec.to_bytes(), str(options.job or options.dataset))
        self._await(lambda: self._view(job_id).phase >= Phase.ALIGNING, "all parties to accept the job")
        return job_id

    def _view(self, job_id: JobId) -> JobView:
        view = self.consortium.job(job_id)
        if view.phase is Phase.ABORTED:
            events = self.consortium.events(0, self.client.head())
            why = [one for one in events if isinstance(one, JobAborted) and one.job_id == job_id]
            raise JobAbortedError(f"the job was aborted: {why[-1].reason if why else 'no reason given'}")
        return view

    def follow(self, job_id: JobId, until: Phase, progress: DemoProgress) -> None:
        """Show progress until the job reaches a phase."""
        while True:
            view = self._view(job_id)
            accepted, rejected = self.consortium.counts(job_id)
            progress.show(view, self.client.head(), accepted, rejected)
            if view.phase >= until:
                return
            for node in self.nodes.values():
                node.require_alive()
            time.sleep(POLL_SECONDS)

    def report(
        self,
        options: DemoOptions,
        spec: JobSpec,
        job_id: JobId,
        reference: Reference,
        positions: np.ndarray[tuple[int], np.dtype[np.int64]],
        scores: np.ndarray[tuple[int], np.dtype[np.float64]],
    ) -> DemoReport:
        """Put the numbers together; shares and digests come off the chain."""
        if not np.array_equal(np.flatnonzero(reference.holdout), positions):
            raise FedchainError("the nodes held out other rows than the plaintext reference; compare the id columns")
        record = self.consortium.contribution(job_id)
        if record is None:
            raise FedchainError(f"no contribution is recorded for job {job_id}")
        view, head = self._view(job_id), self.client.head()
        digests = [self.consortium.shard_digest(job_id, address) for address in view.roster]
        accepted, rejected = self.consortium.counts(job_id)
        use = self.client.usage(self.first_block, head)
        total = sum(record.shares_e6)
        by_party = dict(zip(spec.names, record.shares_e6, strict=True))
        return DemoReport(
            dataset=options.dataset,
            parties=list(spec.names),
            aligned_rows=view.aligned_rows,
            holdout_rows=len(positions),
            trees=view.round - 1,
            depth=spec.algorithm.depth,
            mode=spec.algorithm.mode.value,
            holdout_seed=spec.holdout.seed,
            auc_federated=float(roc_auc_score(reference.labels[positions], scores)),
            auc_active_only=reference.auc_active_only,
            auc_plaintext=reference.auc_plaintext,
            seconds=Seconds(start=0, align=0, train=0, contribution=0, predict=0),
            chain=ChainUse(
                kind=options.chain_kind,
                transactions=use.transactions,
                blocks=head - self.first_block + 1,
                gas=use.gas,
                uplinks_accepted=accepted,
                uplinks_rejected=rejected,
            ),
            contributions={name: round(share / total, 6) if total else 0.0 for name, share in by_party.items()},
            contributions_e6={str(name): share for name, share in by_party.items()},
            model_digest=model_digest([one for one in digests if one is not None]),
            job_id=job_id,
        )


def _chain(choice: str, workdir: Path, stack: ExitStack, progress: DemoProgress) -> str:
    """Address of the chain: a running one's, or that of a new child process."""
    if choice.startswith(("http://", "https://")):
        progress.say(f"deploying the contracts on the chain at {choice}")
        return choice
    if choice not in CHAIN_KINDS:
        raise ConfigError(f"--chain {choice}: choose {', '.join(CHAIN_KINDS)}, or give a chain's http address")
    progress.say(f"starting the {choice} chain and deploying the contracts")
    kind = next(kind for kind in CHAIN_KINDS if kind == choice)
    return stack.enter_context(start_dev_chain(kind, log_path=workdir / "chain.log")).rpc_url


def _workdir(options: DemoOptions, stack: ExitStack) -> Path:
    if options.workdir is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedchain-demo-")))
    workdir = options.workdir.resolve()
    if workdir.exists() and any(workdir.iterdir()):
        raise ConfigError(f"{options.workdir}: is not empty; name a new folder with --workdir")
    workdir.mkdir(parents=True, exist_ok=True)
    return workdir


@contextmanager
def _signals_unwind() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, so that everything started is stopped on the way out."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def unwind(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, unwind) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
