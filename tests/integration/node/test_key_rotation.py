"""A node's key is rotated, stopped or running; killed at any step it has one key that acts, and goes on."""

from __future__ import annotations

import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedchain.chain import Account, ChainClient, Consortium, Deployment, DevChain, Sender
from fedchain.errors import ChainError, ChainUnreachableError, ConfigError
from fedchain.node import key_rotation as module
from fedchain.node.config import NodeConfig, load_config
from fedchain.node.init import init_node
from fedchain.node.key_files import staged_keystore
from fedchain.node.keystore import open_account, rotate_passphrase
from fedchain.node.register import register_node
from fedchain.node.rotating import rotate_certificate, rotate_key
from fedchain.types import Status
from tests.integration.node.test_running_nodes import Member, write_tables

pytestmark = pytest.mark.timeout(180)

Make = Callable[[str], Member]


class Killed(BaseException):
    """Stands in for a process's end: nothing in the code under test catches it for good."""


@pytest.fixture(autouse=True)
def quick_keystores(monkeypatch: pytest.MonkeyPatch) -> None:
    save = Account.save_keystore
    monkeypatch.setattr(Account, "save_keystore", lambda self, path, phrase: save(self, path, phrase, iterations=2))


@pytest.fixture
def make(
    tmp_path: Path,
    chain: DevChain,
    deployment: Deployment,
    deployment_path: Path,
    bank: Sender,
    steward: Consortium,
) -> Iterator[Make]:
    """Makes an accredited party with a node folder; its node does not run."""
    made: list[Member] = []

    def one(role: str) -> Member:
        name = f"{role}-{secrets.token_hex(3)}"
        table = write_tables(tmp_path, [name])[name]
        init_node(tmp_path / name, name, deployment_path, chain.rpc_url, table)
        toml = tmp_path / name / "node.toml"
        text = toml.read_text().replace('# control_socket = "state', f'control_socket = "{tmp_path / name[0]}')
        toml.write_text(text.replace('# endpoint = "node.example.org:4433"', 'endpoint = "127.0.0.1:4433"'))
        config = load_config(toml)
        account = open_account(config)
        bank.transfer(account.address, 10**18)
        register_node(config)
        steward.accredit(account.address)
        made.append(Member(name, config, account))
        return made[-1]

    yield one
    for member in made:
        member.halt()


def agreed(config: NodeConfig, consortium: Consortium, party: str) -> str:
    """Registry and disk have one key, and no file is left over; returns its address."""
    account = open_account(config)
    entry = consortium.participant(party)
    assert (entry.signer, entry.name, entry.status) == (account.address, config.name, Status.ACCREDITED)
    assert consortium.party_of(account.address) == party
    assert not staged_keystore(config).exists()
    assert stat.S_IMODE(config.keys.keystore.stat().st_mode) == 0o600
    assert {path.name for path in config.folder.glob("*keystore*")} == {"keystore.json"}
    return account.address


def test_a_stopped_node_gets_another_key_and_its_party_stays(make: Make, steward: Consortium) -> None:
    bank = make("bank")
    party = bank.account.address
    client = steward.client
    worth = client.balance(party)
    done = rotate_key(bank.config)
    assert (done.party, done.earlier, done.registered) == (party, party, True)
    assert agreed(bank.config, steward, party) == done.signer != party
    assert steward.party_of(party) is None
    assert client.balance(done.signer) > worth * 9 // 10, "what the old key had is the new one's"
    again = rotate_key(bank.config)
    assert (again.party, again.earlier) == (party, done.signer)
    assert agreed(bank.config, steward, party) == again.signer
    assert steward.rotation_nonce(party) == 2
    # it acts: another certificate is registered with it
    rotation = rotate_certificate(bank.config)
    assert steward.participant(party).fingerprint == rotation.fingerprint
    assert not register_node(bank.config).changed


STEPS = ["stage_key", "_move_funds", "rotate_key", "install_key"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("finisher", ["command", "start"])
def test_killed_around_any_step_it_is_finished_by_the_command_or_the_next_start(
    make: Make, steward: Consortium, monkeypatch: pytest.MonkeyPatch, step: str, when: str, finisher: str
) -> None:
    bank = make("bank")
    party = bank.account.address
    where: object = Consortium if step == "rotate_key" else module
    real = getattr(where, step)

    def deadly(*arguments: object, **named: object) -> None:
        if when == "after":
            real(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(where, step, deadly)
        with pytest.raises(Killed):
            rotate_key(bank.config)
    if finisher == "command":
        rotate_key(bank.config)
    else:
        bank.start()
        assert bank.node is not None
        assert bank.node.address == party
    if (step, when, finisher) == ("stage_key", "before", "start"):
        assert agreed(bank.config, steward, party) == party, "nothing had been begun"
    else:
        assert agreed(bank.config, steward, party) != party
    # killed after all was done, the command is asked for another key
    turns = 0 if (step, when, finisher) == ("stage_key", "before", "start") else 1
    assert steward.rotation_nonce(party) == turns + ((step, when, finisher) == ("install_key", "after", "command"))


def test_a_running_node_acts_with_its_new_key_at_once(make: Make, steward: Consortium) -> None:
    bank, shop = make("bank"), make("shop")
    for member in (bank, shop):
        member.start()
    assert bank.node is not None
    party = bank.account.address
    done = rotate_key(bank.config)  # over the control socket
    assert (done.party, done.earlier, done.registered) == (party, party, True)
    assert agreed(bank.config, steward, party) == done.signer
    consortium = bank.node.exchange.consortium
    assert consortium.sender is not None
    assert consortium.sender.address == done.signer
    rotation = rotate_certificate(bank.config)  # sent by the new key
    assert steward.participant(party).fingerprint == rotation.fingerprint
    second = rotate_key(bank.config)
    assert (second.earlier, second.party) == (done.signer, party)
    bank.halt()
    bank.start()
    assert bank.node.address == party
    assert agreed(bank.config, steward, party) == second.signer


def test_an_outcome_that_is_not_known_is_found_out_before_anything_else_is_sent(
    make: Make, steward: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = make("bank")
    bank.start()
    party = bank.account.address
    rotate = Consortium.rotate_key
    tries: list[str] = []

    def cut_off(self: Consortium, *arguments: object) -> object:
        tries.append("sent")
        done = rotate(self, *arguments)  # type: ignore[arg-type]
        if len(tries) == 1:
            monkeypatch.setattr(type(self.sender), "has_pending", True)
            raise ChainUnreachableError("the connection broke")
        return done

    monkeypatch.setattr(Consortium, "rotate_key", cut_off)
    done = rotate_key(bank.config)
    assert tries == ["sent"], "the registry said that it was done"
    assert agreed(bank.config, steward, party) == done.signer


def test_a_rotation_that_was_not_sent_leaves_the_present_key(
    make: Make, steward: Consortium, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = make("bank")
    bank.start()
    party = bank.account.address

    def refused(self: Consortium, *arguments: object) -> None:
        raise ChainError("too little ether")

    with monkeypatch.context() as patch:
        patch.setattr(Consortium, "rotate_key", refused)
        with pytest.raises(ChainError, match="too little"):
            rotate_key(bank.config)
    assert staged_keystore(bank.config).exists()
    assert steward.participant(party).signer == party
    with pytest.raises(ConfigError, match="was not finished; run `fedchain node rotate key` first"):
        rotate_passphrase(bank.config)
    rotate_key(bank.config)
    assert agreed(bank.config, steward, party) != party


def test_an_old_keystore_is_nobody_s(make: Make, steward: Consortium, tmp_path: Path) -> None:
    bank = make("bank")
    party = bank.account.address
    old = bank.config.keys.keystore.read_bytes()
    rotate_key(bank.config)
    signer = agreed(bank.config, steward, party)
    bank.config.keys.keystore.write_bytes(old)
    for call in (register_node, rotate_key):
        with pytest.raises(ConfigError, match=f"was rotated to {signer}, and this keystore holds {party}"):
            call(bank.config)
    assert not staged_keystore(bank.config).exists()


def test_a_key_that_is_not_registered_is_replaced_on_the_disk_alone(
    tmp_path: Path, chain: DevChain, deployment_path: Path, bank: Sender
) -> None:
    name = f"late-{secrets.token_hex(3)}"
    table = write_tables(tmp_path, [name])[name]
    config = init_node(tmp_path / name, name, deployment_path, chain.rpc_url, table)
    account = open_account(config)
    bank.transfer(account.address, 10**18)
    done = rotate_key(config)
    assert (done.party, done.earlier, done.registered) == (done.signer, account.address, False)
    assert open_account(config).address == done.signer
    with ChainClient(chain.rpc_url) as client:
        assert client.balance(done.signer) > 9 * 10**17
