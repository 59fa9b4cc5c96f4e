"""Real contracts on one chain; every test gets fresh parties with exchanges of their own."""

from __future__ import annotations

import queue
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fedchain.chain import (
    Account,
    ChainClient,
    Consortium,
    Deployment,
    DevChain,
    JobPolicy,
    JobProposed,
    Sender,
    dev_accounts,
    start_dev_chain,
)
from fedchain.chain import deploy as deploy_contracts
from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.exchange import Exchange, Identity, Inbox, JobChannel
from fedchain.node.driver import run_party
from fedchain.node.membership import join
from fedchain.protocol.actions import Party
from fedchain.types import JobId, PartyId, Phase
from tests.certificates import STAND_IN_KEY
from tests.chains import any_kind

T = TypeVar("T")
ETHER = 10**18


@dataclass
class Rig:
    """One party: account, exchange, and the jobs that its subscriber brought."""

    name: PartyId
    account: Account
    folder: Path
    chain: DevChain
    deployment: Deployment
    rpc_url: str
    identity: Identity
    confirmations: int = 0
    jobs: queue.Queue[tuple[JobProposed, Inbox]] = field(default_factory=queue.Queue)
    exchange: Exchange = field(init=False)

    def open(self) -> Exchange:
        """Open the exchange (again); reading has not begun."""
        client = ChainClient(self.rpc_url)
        consortium = Consortium(client, self.deployment, Sender(client, self.account))
        self.exchange = Exchange(
            client,
            consortium,
            address=self.account.address,
            name=self.name,
            identity=self.identity,
            folder=self.folder,
            on_job=lambda event, inbox: self.jobs.put((event, inbox)),
            on_request=lambda event, inbox: None,
            confirmations=self.confirmations,
        )
        return self.exchange

    @property
    def consortium(self) -> Consortium:
        """With this party's sender."""
        return self.exchange.consortium


@dataclass
class Trio:
    """Three accredited parties, the first one active."""

    rigs: list[Rig]
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))

    @property
    def names(self) -> tuple[PartyId, ...]:
        """In roster order."""
        return tuple(rig.name for rig in self.rigs)

    @property
    def parties(self) -> dict[PartyId, str]:
        """Name → address in roster order."""
        return {rig.name: rig.account.address for rig in self.rigs}

    def propose(self, *, max_payload_bytes: int = 2**20, max_rounds: int = 100) -> JobId:
        """The active party proposes a job."""
        policy = JobPolicy(max_payload_bytes, max_rounds, 10**9)
        return self.rigs[0].consortium.propose(secrets.token_bytes(40), list(self.parties.values()), policy)

    def channel(self, rig: Rig, *, deadline_seconds: float = 10.0) -> JobChannel:
        """The party's channel of the next job that reaches it."""
        _, inbox = rig.jobs.get(timeout=10.0)
        return rig.exchange.channel(inbox, self.parties, deadline_seconds=deadline_seconds)

    def run(
        self, parties: Sequence[Callable[[Rig], Party[Any]]], *, deadline_seconds: float = 10.0
    ) -> list[Future[Any]]:
        """Run one generator per party, in threads, from acceptance on."""

        def one(rig: Rig, party: Callable[[Rig], Party[Any]]) -> Any:
            channel = self.channel(rig, deadline_seconds=deadline_seconds)
            channel.accept()
            return run_party(party(rig), channel)

        return [self.pool.submit(one, rig, party) for rig, party in zip(self.rigs, parties, strict=True)]

    def phase(self, job_id: JobId) -> Phase:
        """The job's phase on chain."""
        return self.rigs[0].consortium.job(job_id).phase


@pytest.fixture(scope="session")
def chain() -> Iterator[DevChain]:
    """One chain for all tests."""
    with start_dev_chain(any_kind()) as one:
        yield one


@pytest.fixture(scope="session")
def deployment_path(chain: DevChain, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The contracts' deployment file; dev account 0 deployed, dev account 1 is the steward."""
    deployer, steward = dev_accounts(2)
    path = tmp_path_factory.mktemp("chain") / "deployment.json"
    deploy_contracts(ChainClient(chain.rpc_url), deployer, [steward.address], path)
    return path


@pytest.fixture(scope="session")
def deployment(deployment_path: Path) -> Deployment:
    """The contracts."""
    return Deployment.load(deployment_path)


@pytest.fixture(scope="session")
def bank(chain: DevChain) -> Sender:
    """Who funds new accounts."""
    return Sender(ChainClient(chain.rpc_url), dev_accounts(3)[2])


@pytest.fixture(scope="session")
def steward(chain: DevChain, deployment: Deployment) -> Consortium:
    """The steward's view of the contracts."""
    client = ChainClient(chain.rpc_url)
    return Consortium(client, deployment, Sender(client, dev_accounts(2)[1]))


@pytest.fixture
def make_rig(
    chain: DevChain, deployment: Deployment, bank: Sender, steward: Consortium, tmp_path: Path
) -> Iterator[Callable[..., Rig]]:
    """Makes a funded party; `accredited=False` leaves it registered only."""
    rigs: list[Rig] = []

    def make(name: str, *, accredited: bool = True, rpc_url: str | None = None) -> Rig:
        account = Account.create()
        bank.transfer(account.address, ETHER)
        unique = PartyId(f"{name}-{secrets.token_hex(4)}")
        rig = Rig(
            unique, account, tmp_path / name, chain, deployment, rpc_url or chain.rpc_url, Identity.create(unique)
        )
        exchange = rig.open()
        join(
            exchange.consortium,
            address=account.address,
            name=unique,
            endpoint=exchange.endpoint,
            certificate=rig.identity.certificate,
            encryption_key=STAND_IN_KEY,
        )
        if accredited:
            steward.accredit(account.address)
        rigs.append(rig)
        return rig

    yield make
    for rig in rigs:
        rig.exchange.close()


@pytest.fixture
def trio(make_rig: Callable[..., Rig]) -> Iterator[Trio]:
    """Three accredited parties that read the chain."""
    one = Trio([make_rig(name) for name in ("alpha", "beta", "gamma")])
    for rig in one.rigs:
        rig.exchange.start()
    yield one
    one.pool.shutdown(wait=True, cancel_futures=True)


@pytest.fixture
def make_job(
    make_rig: Callable[..., Rig], executor: Executor, dlog: DlogTable, tmp_path: Path
) -> Iterator[Callable[..., Any]]:
    """Makes whole jobs of the same three parties; see `wholejobs.job_maker`."""
    from tests.integration.node.wholejobs import WholeJob, job_maker

    made: list[WholeJob] = []
    yield job_maker(make_rig, executor, dlog, tmp_path / "journals", made)
    for job in made:
        job.pool.shutdown(wait=True, cancel_futures=True)
