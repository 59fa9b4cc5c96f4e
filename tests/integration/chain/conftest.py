"""One running chain of each kind for the whole session, with contracts and two accredited parties."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from fedchain.chain import (
    Account,
    ChainClient,
    Consortium,
    Deployment,
    DevChain,
    JobPolicy,
    Sender,
    deploy,
    dev_accounts,
)
from fedchain.chain.devchain import CHAIN_KINDS, ChainKind, find_tool, start_dev_chain
from fedchain.errors import ConfigError
from fedchain.messages import Envelope
from fedchain.types import JobId, Kind
from tests.certificates import STAND_IN_KEY, stand_in_certificate

CHUNK = 64 * 1024


def digest_of(payload: bytes) -> bytes:
    """The payload digest, naively: at most two chunks."""
    leaves = [hashlib.sha256(b"\0" + payload[i : i + CHUNK]).digest() for i in range(0, len(payload), CHUNK)]
    assert 1 <= len(leaves) <= 2
    return leaves[0] if len(leaves) == 1 else hashlib.sha256(b"\1" + leaves[0] + leaves[1]).digest()


@dataclass
class World:
    """A chain, its contracts, and who may use them: the steward, two accredited parties and a stranger."""

    chain: DevChain
    client: ChainClient
    deployment: Deployment
    file: Path
    steward: Consortium
    parties: tuple[Consortium, Consortium]
    stranger: Consortium
    accounts: list[Account]
    steps: Iterator[int] = field(default_factory=count)

    def addresses(self) -> list[str]:
        """The parties' addresses: the active one first."""
        return [party.sender.address for party in self.parties if party.sender is not None]

    def aligning_job(self) -> JobId:
        """A job that both parties accepted."""
        spec = b'{"n":%d}' % next(self.steps)
        job = self.parties[0].propose(spec, self.addresses(), JobPolicy(1 << 20, 100, 10**6))
        for party in self.parties:
            party.accept(job)
        return job

    def training_job(self, *, pipelined: bool) -> JobId:
        """A job in round 1 of its training."""
        spec = b'{"n":%d}' % next(self.steps)
        job = self.parties[0].propose(spec, self.addresses(), JobPolicy(1 << 20, 100, 10**6, pipelined))
        for party in self.parties:
            party.accept(job)
        for party in self.parties:
            party.declare_aligned(job, b"\x07" * 32, 100)
        self.parties[0].begin_round(job, 1)
        return job

    def envelope(self, job: JobId, payload: bytes, kind: Kind = Kind.BLINDED_IDS) -> Envelope:
        """An uplink to the whole roster in the next step of round 0."""
        return Envelope(
            bytes.fromhex(job[2:]), 0, 0, next(self.steps), kind, bytes(20), digest_of(payload), len(payload)
        )


def skip_unless_installed(kind: ChainKind) -> None:
    """Skip the test when the chain's tool is missing; the embedded chain always runs."""
    if kind != "embedded":
        try:
            find_tool(kind)
        except ConfigError as error:
            pytest.skip(str(error))


@pytest.fixture(scope="session")
def world_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[ChainKind], World]]:
    """Makes a kind's world on first use."""
    worlds: dict[ChainKind, World] = {}

    def make(kind: ChainKind) -> World:
        if kind not in worlds:
            skip_unless_installed(kind)
            worlds[kind] = _make_world(start_dev_chain(kind), tmp_path_factory.mktemp(kind) / "deployment.json")
        return worlds[kind]

    yield make
    for world in worlds.values():
        world.client.close()
        world.chain.stop()


def _make_world(chain: DevChain, file: Path) -> World:
    client = ChainClient(chain.rpc_url)
    accounts = dev_accounts(6)
    deployment, created = deploy(client, accounts[0], [accounts[0].address], file)
    assert created
    steward, first, second, stranger = (Consortium(client, deployment, Sender(client, one)) for one in accounts[:4])
    for index, party in enumerate((first, second)):
        party.register(
            f"party-{index}", f"127.0.0.1:{9000 + index}", stand_in_certificate(f"party-{index}"), STAND_IN_KEY
        )
        steward.accredit(accounts[1 + index].address)
    return World(chain, client, deployment, file, steward, (first, second), stranger, accounts)


@pytest.fixture(params=CHAIN_KINDS)
def world(request: pytest.FixtureRequest, world_of: Callable[[ChainKind], World]) -> World:
    """The world on each kind of chain in turn."""
    return world_of(request.param)


@pytest.fixture
def embedded(world_of: Callable[[ChainKind], World]) -> World:
    """The world on the embedded chain."""
    return world_of("embedded")


@pytest.fixture
def random_payload() -> Callable[[int], bytes]:
    """Payloads that do not compress and hold few zero bytes."""
    return os.urandom
