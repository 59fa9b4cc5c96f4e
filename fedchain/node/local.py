"""A whole consortium on this machine: contracts on a development chain, and a node process for each party of a job.

What the demo and the benchmark of the exchange run on.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

from fedchain.chain import ChainClient, Consortium, Deployment, JobView, Sender, deploy, dev_accounts
from fedchain.chain.events import JobAborted
from fedchain.errors import ConfigError, DeadlineError, JobAbortedError, JobExpiredError
from fedchain.federation.spec import JobSpec
from fedchain.node.control_client import ControlClient
from fedchain.node.init import init_node
from fedchain.node.processes import NodeProcess
from fedchain.types import JobId, PartyId, Phase, Status

FUNDING_WEI = 10**20
POLL_SECONDS = 0.2
START_DEADLINE_SECONDS = 60.0


@dataclass
class LocalConsortium:
    """A chain with deployed contracts and one node per party.

    Attributes:
        client: the chain.
        consortium: its contracts, with the sender of the steward, development account 0.
        deployment: the file that records them.
        nodes: by party, in roster order.
        first_block: the first one that is not older than all this.
    """

    client: ChainClient
    consortium: Consortium
    deployment: Path
    nodes: Mapping[PartyId, NodeProcess]
    first_block: int

    @classmethod
    def start(
        cls,
        rpc_url: str,
        spec: JobSpec,
        files: Mapping[PartyId, Path],
        workdir: Path,
        stack: ExitStack,
        jobs: Mapping[str, str] | None = None,
    ) -> LocalConsortium:
        """Deploy the contracts, make the parties' keys, fund their accounts and start their nodes.

        Args:
            rpc_url: of a development chain.
            spec: whose parties.
            files: each party's table.
            workdir: a folder for each node goes here.
            stack: stops the nodes when it unwinds.
            jobs: keys of `[jobs]` in each `node.toml`, and their values in TOML.

        Raises:
            ConfigError: development account 0 has no ether on that chain.
            FedchainError: whatever else goes wrong.
        """
        client = stack.enter_context(ChainClient(rpc_url))
        first_block = client.head() + 1
        steward, deployment_file = dev_accounts(1)[0], workdir / "deployment.json"
        if client.balance(steward.address) < FUNDING_WEI * (len(files) + 1):
            raise ConfigError(
                f"--chain {client.rpc_url}: development account {steward.address} has no ether there; "
                "a development chain is needed (`fedchain chain start`)"
            )
        deploy(client, steward, [steward.address], deployment_file)
        sender = Sender(client, steward)

        def launch(name: PartyId) -> NodeProcess:
            config = init_node(workdir / name, name, deployment_file, rpc_url, files[name])
            path = workdir / name / "node.toml"
            added = "".join(f"{key} = {value}\n" for key, value in (jobs or {}).items())
            path.write_text(path.read_text(encoding="utf-8").replace("\n[jobs]\n", f"\n[jobs]\n{added}", 1))
            return NodeProcess.start(name, config, workdir / name)

        nodes: dict[PartyId, NodeProcess] = {}
        with ThreadPoolExecutor() as pool:  # encrypting a keystore takes a second on purpose
            for future in as_completed([pool.submit(launch, name) for name in spec.names]):
                node = stack.enter_context(future.result())
                nodes[node.name] = node
                sender.transfer(node.address, FUNDING_WEI)
        consortium = Consortium(client, Deployment.load(deployment_file), sender)
        return cls(client, consortium, deployment_file, {name: nodes[name] for name in spec.names}, first_block)

    def accredit(self) -> None:
        """As the steward: accredit every party as soon as its node has registered it."""
        for name in self.nodes:
            address = self._await(partial(self.consortium.address_of, name), f"node '{name}' to register")
            if self.consortium.participant(address).status is Status.REGISTERED:
                self.consortium.accredit(address)

    def await_ready(self) -> None:
        """Wait until the active party's node answers at its control socket.

        Raises:
            DeadlineError: it does not in time.
            FedchainError: a node ended.
        """
        operator = next(iter(self.nodes.values()))
        self._await(operator.config.control_socket.is_socket, "the operator's node to be ready")

    def control(self) -> ControlClient:
        """A connection to the active party's node."""
        return ControlClient(next(iter(self.nodes.values())).config.control_socket, connect_seconds=10.0)

    def submit(self, spec: JobSpec, where: str) -> JobId:
        """Propose the job through the active party's node and wait until all have accepted.

        Args:
            spec: the job.
            where: its file, for errors.
        """
        self.await_ready()
        with self.control() as control:
            job_id = control.submit(spec.to_bytes(), where)
        self._await(lambda: self.view(job_id).phase >= Phase.ALIGNING, "all parties to accept the job")
        return job_id

    def view(self, job_id: JobId) -> JobView:
        """How a job stands on chain.

        Raises:
            JobAbortedError: it was aborted, says why; or it expired.
        """
        view = self.consortium.job(job_id)
        if view.phase is Phase.EXPIRED:
            raise JobExpiredError("the job expired: a deadline passed, and who was missing did not come back")
        if view.phase is Phase.ABORTED:
            events = self.consortium.events(0, self.client.head())
            why = [one for one in events if isinstance(one, JobAborted) and one.job_id == job_id]
            raise JobAbortedError(f"the job was aborted: {why[-1].reason if why else 'no reason given'}")
        return view

    def require_alive(self) -> None:
        """Raise if a node has ended.

        Raises:
            FedchainError: names it, with the last lines of its log.
        """
        for node in self.nodes.values():
            node.require_alive()

    def _await(self, look: Callable[[], object], what: str) -> str:
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        while time.monotonic() < deadline:
            found = look()
            if found:
                return str(found)
            self.require_alive()
            time.sleep(POLL_SECONDS)
        raise DeadlineError(f"waited {START_DEADLINE_SECONDS:.0f} s for {what}")


@contextmanager
def signals_unwind() -> Iterator[None]:
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
