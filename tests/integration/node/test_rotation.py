"""Certificates of running nodes are replaced in the middle of jobs, and nobody notices but the registry."""

from __future__ import annotations

import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from fedchain.chain import Account, ChainClient, Consortium, Deployment, DevChain, Sender
from fedchain.errors import ChainError, ChainUnreachableError, ConfigError, DeliveryError
from fedchain.exchange import Identity, PayloadClient
from fedchain.exchange.directory import Peer
from fedchain.exchange.identities import Identities
from fedchain.exchange.incoming import IncomingStore
from fedchain.federation.spec import JobSpec
from fedchain.federation.tables import read_party_table
from fedchain.node.certificate_files import CertificateFiles
from fedchain.node.config import load_config
from fedchain.node.control_client import ControlClient
from fedchain.node.init import init_node
from fedchain.node.keystore import open_account, rotate_passphrase
from fedchain.node.rotating import rotate_certificate, rotate_key
from fedchain.node.runtime import Node
from fedchain.simulation.federation import simulate
from fedchain.types import Phase, Status
from tests.certificates import STAND_IN_KEY, stand_in_certificate
from tests.integration.node.test_running_nodes import Member, job_toml, report_of, write_tables

pytestmark = pytest.mark.timeout(180)

ROWS = {"strict": 2000, "pipelined": 240}
"""In the strict job gradients are too large for a transaction, so that they are fetched from their sender."""

PATIENCE_SECONDS = 60.0
"""For what must happen within seconds on a machine that is not busy."""


def wait_until(look: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def quick_keystores(monkeypatch: pytest.MonkeyPatch) -> None:
    save = Account.save_keystore
    monkeypatch.setattr(Account, "save_keystore", lambda self, path, phrase: save(self, path, phrase, iterations=2))


@pytest.fixture
def make_members(
    tmp_path: Path,
    chain: DevChain,
    deployment: Deployment,
    deployment_path: Path,
    bank: Sender,
    steward: Consortium,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[..., list[Member]]]:
    """Makes accredited parties with node folders; their nodes are not running."""
    made: list[Member] = []

    def make(*roles: str, rows: int = 160) -> list[Member]:
        monkeypatch.setattr("tests.integration.node.test_running_nodes.ROWS", rows)
        suffix = secrets.token_hex(3)
        names = [f"{role}-{suffix}" for role in roles]
        tables = write_tables(tmp_path, names)
        for name in names:
            init_node(tmp_path / name, name, deployment_path, chain.rpc_url, tables[name])
            toml = tmp_path / name / "node.toml"
            toml.write_text(
                toml.read_text().replace('# control_socket = "state', f'control_socket = "{tmp_path / name[0]}')
            )
            config = load_config(toml)
            account = Account.from_keystore(config.keys.keystore, config.passphrase())
            bank.transfer(account.address, 10**18)
            client = ChainClient(chain.rpc_url)
            consortium = Consortium(client, deployment, Sender(client, account))
            consortium.register(name, "127.0.0.1:1", stand_in_certificate(name), STAND_IN_KEY)
            steward.accredit(account.address)
            made.append(Member(name, config, account))
        return made

    yield make
    for member in made:
        member.halt()


def node_of(member: Member) -> Node:
    assert member.node is not None
    return member.node


def reaches(here: Member, there: Member) -> bool:
    """Whether a call gets through; a node that was started just now may not have read yet who is accredited."""
    exchange = node_of(here).exchange
    try:
        exchange.payloads.nudge(exchange.directory.peer(there.account.address), culprit=there.name)
    except DeliveryError:
        return False
    return True


def check_agreement(member: Member, steward: Consortium) -> bytes:
    """Registry, disk and running node have one certificate, and no file is left over; returns its fingerprint."""
    registered = steward.participant(member.account.address).fingerprint
    files = CertificateFiles.of(member.config)
    assert files.staged() is None
    assert files.load().fingerprint == registered == node_of(member).identity.fingerprint
    names = {path.name for path in files.key.parent.glob("*certificate*")}
    assert names == {"certificate.pem", "certificate.key"}
    return registered


# -- in the middle of a job --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("consumption", [pytest.param("strict", marks=pytest.mark.soak), "pipelined"])
def test_certificates_of_both_sides_are_replaced_in_training_and_the_model_is_the_undisturbed_one(
    make_members: Callable[..., list[Member]], steward: Consortium, consumption: str
) -> None:
    members = make_members("operator", "bank", "shop", rows=ROWS[consumption])
    for member in members:
        member.start()
    active, passive, _ = members
    toml = job_toml([one.name for one in members], algorithm="depth = 3", deadline=60.0)
    toml = toml.replace(b"trees = 2", b"trees = 25").replace(
        b"deadline_seconds", f'consumption = "{consumption}"\ndeadline_seconds'.encode()
    )
    before = [check_agreement(member, steward) for member in members]
    with active.client() as client:
        job_id = client.submit(toml)
    with structlog.testing.capture_logs() as logs:
        done = []
        for round, member in ((2, active), (3, passive), (4, active)):
            wait_until(lambda round=round: steward.job(job_id).round >= round, f"round {round}")  # type: ignore[misc]
            done.append(rotate_certificate(member.config))
        assert steward.job(job_id).phase is Phase.TRAINING, "all of it happened in training"
    for member in members:
        end = member.wait(job_id)
        assert end["status"] == "completed", end["error"]

    spec = JobSpec.from_toml_text(toml.decode())
    tables = {
        party: read_party_table(member.config.table, spec, party)
        for party, member in zip(spec.names, members, strict=True)
    }
    assert report_of(active, job_id)["model_digest"] == simulate(spec, tables).active.model_digest
    payloads = [node_of(member).exchange.payloads for member in members]
    moved = [one.fetched.value if consumption == "strict" else one.delivered.value for one in payloads]
    assert all(moved) if consumption == "pipelined" else all(moved[1:])
    assert all(steward.participant(member.account.address).strikes == 0 for member in members)

    assert [done[0].earlier, done[1].earlier, done[2].earlier] == [before[0], before[1], done[0].fingerprint]
    after = [check_agreement(member, steward) for member in members]
    assert after == [done[2].fingerprint, done[1].fingerprint, before[2]]
    told = [(line["earlier"], line["fingerprint"]) for line in logs if line["event"] == "certificate rotated"]
    assert told == [(one.earlier.hex(), one.fingerprint.hex()) for one in done]
    assert "PRIVATE" not in repr(logs)


@pytest.mark.parametrize("consumption", [pytest.param("strict", marks=pytest.mark.soak), "pipelined"])
def test_keys_of_both_sides_are_replaced_in_training_and_the_model_is_the_undisturbed_one(
    make_members: Callable[..., list[Member]], steward: Consortium, consumption: str
) -> None:
    members = make_members("operator", "bank", "shop", rows=ROWS[consumption])
    for member in members:
        member.start()
    active, passive, _ = members
    toml = job_toml([one.name for one in members], algorithm="depth = 3", deadline=60.0)
    toml = toml.replace(b"trees = 2", b"trees = 25").replace(
        b"deadline_seconds", f'consumption = "{consumption}"\ndeadline_seconds'.encode()
    )
    with active.client() as client:
        job_id = client.submit(toml)
    done = []
    for round, member in ((1, passive), (2, active), (3, active)):
        wait_until(lambda round=round: steward.job(job_id).round >= round, f"round {round}")  # type: ignore[misc]
        done.append(rotate_key(member.config))
    assert steward.job(job_id).phase is Phase.TRAINING, "all of it happened in training"
    for member in members:
        end = member.wait(job_id)
        assert end["status"] == "completed", end["error"]

    spec = JobSpec.from_toml_text(toml.decode())
    tables = {
        party: read_party_table(member.config.table, spec, party)
        for party, member in zip(spec.names, members, strict=True)
    }
    assert report_of(active, job_id)["model_digest"] == simulate(spec, tables).active.model_digest
    assert steward.job(job_id).roster == tuple(member.account.address for member in members)
    assert [one.party for one in done] == [passive.account.address, active.account.address, active.account.address]
    assert done[2].earlier == done[1].signer
    for member, key in ((active, done[2].signer), (passive, done[0].signer)):
        entry = steward.participant(member.account.address)
        assert (entry.signer, entry.strikes, entry.status) == (key, 0, Status.ACCREDITED)
        assert open_account(member.config).address == key
    # a request after it: questions and answers are sent and signed with the new keys
    with active.client() as client:
        assert len(client.predict(job_id, "holdout").scores) > 0


# -- the old certificate -----------------------------------------------------------------------------------------------


class Thief:
    """Somebody who has a copy of a node's old certificate and key."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        self._incoming = IncomingStore(folder, owner="thief")
        self._identity = identity
        self.connected = self.client()

    def client(self) -> PayloadClient:
        """With connections of its own."""
        return PayloadClient(Identities(self._identity), self._incoming)

    def nudges(self, peer: Peer, client: PayloadClient | None = None) -> bool:
        """Whether a node takes a call, by default on a connection that is there already."""
        one = client or self.client()
        try:
            one.nudge(peer, culprit="peer")
        except DeliveryError:
            return False
        finally:
            if client is None:
                one.close()
        return True


def test_the_old_certificate_is_refused_once_the_registry_s_change_is_read_and_dropped_after_the_overlap(
    make_members: Callable[..., list[Member]], steward: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, shop = make_members("bank", "shop")
    for member in (bank, shop):
        member.start()
    old = node_of(bank).identity
    monkeypatch.setattr(node_of(bank)._rotator, "_overlap_seconds", 0.5)
    at_shop = node_of(shop).exchange.directory.peer(shop.account.address)
    thief = Thief(tmp_path / "thief", old)
    wait_until(lambda: thief.nudges(at_shop, thief.connected), "the shop to read who is accredited")
    assert thief.nudges(at_shop)

    done = rotate_certificate(bank.config)
    assert (done.earlier, done.overlap_seconds) == (old.fingerprint, 0.5)
    wait_until(lambda: not thief.nudges(at_shop, thief.connected), "the old certificate to be refused: connected")
    wait_until(lambda: not thief.nudges(at_shop), "the old certificate to be refused: on a new connection")
    for _ in range(3):
        assert not thief.nudges(at_shop, thief.connected)
        assert not thief.nudges(at_shop)

    wait_until(lambda: len(node_of(bank).exchange.identities.held) == 1, "the old pair to be dropped")
    assert node_of(bank).identity.fingerprint == done.fingerprint == check_agreement(bank, steward)
    expects_old = Peer(node_of(bank).exchange.endpoint, old.certificate)
    assert not Thief(tmp_path / "other", node_of(shop).identity).nudges(expects_old), "nobody answers with the old one"
    wait_until(lambda: reaches(shop, bank) and reaches(bank, shop), "peers to answer")
    thief.connected.close()


# -- what may go wrong -------------------------------------------------------------------------------------------------


def test_a_registration_of_unknown_outcome_is_finished_when_it_is_seen_in_a_block(
    make_members: Callable[..., list[Member]], steward: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bank,) = make_members("bank")
    bank.start()
    consortium = node_of(bank).exchange.consortium
    set_service = consortium.set_service

    def cut_off(endpoint: str, certificate: bytes) -> None:
        set_service(endpoint, certificate)
        raise ChainUnreachableError("the connection broke")

    old = node_of(bank).identity
    monkeypatch.setattr(consortium, "set_service", cut_off)
    with pytest.raises(ChainUnreachableError, match="broke"):
        rotate_certificate(bank.config)
    wait_until(lambda: node_of(bank).identity != old, "the node to see its registration")
    wait_until(lambda: CertificateFiles.of(bank.config).staged() is None, "the new pair to be installed")
    check_agreement(bank, steward)


def test_a_registration_that_was_not_sent_leaves_the_old_certificate_and_is_gone_on_with(
    make_members: Callable[..., list[Member]], steward: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, shop = make_members("bank", "shop")
    for member in (bank, shop):
        member.start()
    old = check_agreement(bank, steward)

    def away(endpoint: str, certificate: bytes) -> None:
        raise ChainUnreachableError("nothing answers")

    with monkeypatch.context() as patch:
        patch.setattr(node_of(bank).exchange.consortium, "set_service", away)
        with pytest.raises(ChainUnreachableError):
            rotate_certificate(bank.config)
    assert steward.participant(bank.account.address).fingerprint == old == node_of(bank).identity.fingerprint
    staged = CertificateFiles.of(bank.config).staged()
    assert staged is not None
    for here, there in ((bank, shop), (shop, bank)):
        wait_until(lambda here=here, there=there: reaches(here, there), "peers to answer")  # type: ignore[misc]
    done = rotate_certificate(bank.config)
    assert done.fingerprint == staged.fingerprint == check_agreement(bank, steward)


def test_two_rotations_of_one_node_at_once_are_refused(
    make_members: Callable[..., list[Member]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (bank,) = make_members("bank")
    bank.start()
    consortium, begun, goes_on = node_of(bank).exchange.consortium, threading.Event(), threading.Event()
    set_service = consortium.set_service

    def slow(endpoint: str, certificate: bytes) -> Any:
        begun.set()
        assert goes_on.wait(30)
        return set_service(endpoint, certificate)

    monkeypatch.setattr(consortium, "set_service", slow)
    first = threading.Thread(target=rotate_certificate, args=(bank.config,))
    first.start()
    assert begun.wait(30)
    try:
        with pytest.raises(ConfigError, match="is under way"):
            rotate_certificate(bank.config)
    finally:
        goes_on.set()
        first.join(30)


def test_the_passphrase_of_a_running_node_is_changed_and_it_starts_with_the_new_one(
    make_members: Callable[..., list[Member]],
) -> None:
    (bank,) = make_members("bank")
    bank.start()
    earlier = bank.config.passphrase()
    rotate_passphrase(bank.config, iterations=2)
    assert bank.config.passphrase() != earlier
    rotate_certificate(bank.config)  # signs with the key that it holds
    bank.halt()
    bank.start()
    assert node_of(bank).address == bank.account.address


# -- killed ------------------------------------------------------------------------------------------------------------

ENTRY = Path(__file__).with_name("killed_rotation.py")
POINTS = ["staged", "recorded", "sent", "mined", "key replaced", "certificate replaced", "installed"]


def entry(member: Member, point: str, what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ENTRY), str(member.config.folder / "node.toml"), what, point],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


@pytest.mark.parametrize(
    ("what", "points"),
    [
        ("run", ["recorded", "key replaced"]),
        ("stopped", ["mined"]),
        pytest.param("run", POINTS, marks=pytest.mark.soak),
        pytest.param("stopped", POINTS, marks=pytest.mark.soak),
    ],
)
def test_a_node_killed_between_any_two_steps_comes_back_with_one_certificate_that_is_registered(
    make_members: Callable[..., list[Member]], steward: Consortium, what: str, points: list[str]
) -> None:
    """kill -9 of a real process: a running node that is asked, or the command that rotates a stopped one's."""
    (bank,) = make_members("bank")
    bank.start()
    bank.halt()
    before = CertificateFiles.of(bank.config).load().fingerprint
    for point in points:
        with entry(bank, point, what) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            if what == "run":
                while (line := process.stdout.readline()) != "ready\n":
                    assert line, "the node did not start"
                with ControlClient(bank.config.control_socket) as client, pytest.raises(ConfigError):
                    client.rotate_certificate()
            assert process.wait(60) == -signal.SIGKILL
        bank.start()
        after = check_agreement(bank, steward)
        assert after != before, "what was begun is finished"
        again = rotate_certificate(bank.config)
        assert (again.earlier, again.fingerprint) == (after, check_agreement(bank, steward))
        bank.halt()
        before = again.fingerprint


def test_a_stopped_nodes_rotation_that_was_killed_is_gone_on_with_by_the_command(
    make_members: Callable[..., list[Member]], steward: Consortium
) -> None:
    (bank,) = make_members("bank")
    bank.start()
    bank.halt()
    files = CertificateFiles.of(bank.config)
    old = files.load().fingerprint
    with entry(bank, "mined", "stopped") as process:
        assert process.wait(60) == -signal.SIGKILL
    staged = files.staged()
    assert staged is not None
    assert steward.participant(bank.account.address).fingerprint == staged.fingerprint
    done = rotate_certificate(bank.config)
    assert (done.earlier, done.fingerprint, done.overlap_seconds) == (old, staged.fingerprint, 0.0)
    bank.start()
    assert check_agreement(bank, steward) == staged.fingerprint


def test_a_stopped_node_that_the_chain_does_not_answer_is_left_as_it_is(
    make_members: Callable[..., list[Member]],
) -> None:
    (bank,) = make_members("bank")
    files = CertificateFiles.of(bank.config)
    old = files.load()
    dead = bank.config.chain.model_copy(update={"rpc": "http://127.0.0.1:9"})
    with pytest.raises(ChainError):
        rotate_certificate(bank.config.model_copy(update={"chain": dead}))
    assert files.staged() is None
    assert files.load() == old
