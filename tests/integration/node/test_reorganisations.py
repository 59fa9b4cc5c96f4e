"""A chain that takes blocks back in the middle of a job: what was sent is put back, and the job goes on."""

from __future__ import annotations

import json
import secrets
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import (
    Account,
    ChainClient,
    Consortium,
    Deployment,
    DevChain,
    Sender,
    StrikeRecorded,
    UplinkJudged,
    deploy,
    dev_accounts,
    start_dev_chain,
)
from fedchain.chain.devchain import find_tool
from fedchain.errors import ConfigError
from fedchain.exchange import Identity
from fedchain.messages import BlindedIds, PublicKey
from fedchain.node.membership import join
from fedchain.protocol.actions import BeginRound, DeclareAligned, Party, Send, gather
from fedchain.types import JobId, PartyId, Phase, Reason
from tests.certificates import STAND_IN_KEY
from tests.integration.node.conftest import Rig, Trio

pytestmark = pytest.mark.timeout(120)

KEY = PublicKey(b"\x01" * 32, b"\x02" * 32, b"", True, b"", bytes(32))
ORDER = b"\x0a" * 32


class Anvil:
    """A chain that forgets what it is told to."""

    def __init__(self, chain: DevChain, folder: Path) -> None:
        self.chain = chain
        self.client = ChainClient(chain.rpc_url)
        deployer, steward, bank = dev_accounts(3)
        deploy(self.client, deployer, [steward.address], folder / "deployment.json")
        self.deployment = Deployment.load(folder / "deployment.json")
        self.steward = Consortium(self.client, self.deployment, Sender(self.client, steward))
        self.bank = Sender(self.client, bank)
        self.folder = folder

    def ask(self, method: str, *params: object) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.chain.rpc_url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            parsed = json.loads(answer.read())
        assert "error" not in parsed, parsed
        return parsed["result"]

    def trio(self, confirmations: int) -> Trio:
        rigs = []
        for name in ("alpha", "beta", "gamma"):
            account = Account.create()
            self.bank.transfer(account.address, 10**19)
            unique = PartyId(f"{name}-{secrets.token_hex(4)}")
            rig = Rig(
                unique,
                account,
                self.folder / unique,
                self.chain,
                self.deployment,
                self.chain.rpc_url,
                Identity.create(unique),
                confirmations=confirmations,
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
            self.steward.accredit(account.address)
            rigs.append(rig)
        for rig in rigs:
            rig.exchange.start()
        return Trio(rigs)


@pytest.fixture
def anvil(tmp_path: Path) -> Iterator[Anvil]:
    try:
        find_tool("anvil")
    except ConfigError as error:
        pytest.skip(str(error))
    with start_dev_chain("anvil") as chain:
        yield Anvil(chain, tmp_path)


def whole(trio: Trio, pause: Callable[[str], None]) -> Callable[[Rig], Party[int]]:
    """Keys, an alignment, and two rounds in which everybody says something; `pause` runs at the active party."""

    def party(rig: Rig) -> Party[int]:
        me, others = rig.name, tuple(name for name in trio.names if name != rig.name)
        active = me == trio.names[0]
        yield Send(KEY, 0)
        yield from gather(PublicKey, 0, others)
        yield Send(BlindedIds(trio.names.index(me), 1, 5, b"\x01" * 40), 1)
        if active:
            pause("alignment")
        yield from gather(BlindedIds, 1, others)
        yield DeclareAligned(ORDER, 5)
        yield BeginRound(1)
        if active:
            pause("round")
        return rig.exchange.client.head()

    return party


def everything_stands(anvil: Anvil, trio: Trio, job_id: JobId) -> None:
    """Each uplink is on the chain, once, and nobody has a strike."""
    events = anvil.steward.events(0, anvil.client.head())
    assert not any(isinstance(event, StrikeRecorded) for event in events)
    judged = [event for event in events if isinstance(event, UplinkJudged) and event.job_id == job_id]
    assert {event.reason for event in judged} == {Reason.ACCEPTED}
    assert len(judged) == len({event.uplink_id for event in judged}) == 6
    job = anvil.steward.job(job_id)
    assert (job.phase, job.round) == (Phase.TRAINING, 1)
    assert all(trio.rigs[0].consortium.has_aligned(job_id, rig.account.address) for rig in trio.rigs)


@pytest.mark.parametrize("confirmations", [0, pytest.param(4, marks=pytest.mark.soak)])
@pytest.mark.parametrize("depth", [2, pytest.param(9, marks=pytest.mark.soak)])
@pytest.mark.parametrize("place", ["alignment", "round"])
def test_blocks_that_are_taken_back_in_the_middle_of_a_job_are_made_good(
    place: str, depth: int, confirmations: int, anvil: Anvil
) -> None:
    """Depths within and beyond the confirmations; 9 blocks take back acceptances, declarations, or a round."""
    trio = anvil.trio(confirmations)
    stop = threading.Event()

    def mine() -> None:  # confirmations need blocks
        while not stop.wait(0.05):
            anvil.ask("evm_mine")

    miner = threading.Thread(target=mine)

    def pause(where: str) -> None:
        if where == place:
            anvil.ask("anvil_rollback", depth)
            assert anvil.client.head() > 0

    try:
        if confirmations:
            miner.start()
        job_id = trio.propose()
        futures = trio.run([whole(trio, pause)] * 3, deadline_seconds=60.0)
        for future in futures:
            future.result(90)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            job = anvil.steward.job(job_id)
            if (job.phase, job.round) == (Phase.TRAINING, 1) and anvil.steward.counts(job_id) == (6, 0):
                break
            time.sleep(0.1)
        everything_stands(anvil, trio, job_id)
    finally:
        stop.set()
        if confirmations:
            miner.join()
        for rig in trio.rigs:
            rig.exchange.close()
        trio.pool.shutdown()


def test_blocks_that_a_node_missed_being_taken_back_are_made_good_when_it_is_started_again(anvil: Anvil) -> None:
    trio = anvil.trio(0)
    pool = ThreadPoolExecutor(3)
    try:
        job_id = trio.propose()
        inboxes = [rig.jobs.get(timeout=10)[1] for rig in trio.rigs]
        channels = [
            rig.exchange.channel(inbox, trio.parties, deadline_seconds=20.0)
            for rig, inbox in zip(trio.rigs, inboxes, strict=True)
        ]
        for future in [pool.submit(channel.accept) for channel in channels]:
            future.result(20)
        channels[1].send(KEY, 0, None, 0)
        beta = trio.rigs[1]
        record = beta.exchange.client.head()
        beta.exchange.close()
        anvil.ask("anvil_rollback", 1)
        anvil.ask("evm_mine")
        assert anvil.steward.counts(job_id) == (0, 0)
        beta.open()
        beta.exchange.resume()
        inbox = beta.exchange.subscriber.resume(job_id, 0)
        beta.exchange.start()
        assert beta.exchange.subscriber.height <= record
        deadline = time.monotonic() + 20
        while anvil.steward.counts(job_id) != (1, 0) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert anvil.steward.counts(job_id) == (1, 0)
        assert inbox.phase == Phase.ALIGNING
    finally:
        for rig in trio.rigs:
            rig.exchange.close()
        pool.shutdown()
        trio.pool.shutdown()
