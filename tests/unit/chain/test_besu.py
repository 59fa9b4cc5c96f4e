"""The files of a Besu network: what QBFT reads in them, whose keys they name, and what is never overwritten."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import rlp  # type: ignore[import-untyped]
from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from fedchain.chain import Account
from fedchain.chain.besu import DEFAULT_HOSTS, Validator, qbft_extra_data, write_network
from fedchain.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# https://besu.hyperledger.org/private-networks/how-to/configure/consensus/qbft#genesis-file
PUBLISHED_VALIDATORS = (
    "64a702e6263b7297a96638cac6ae65e6541f4169",
    "3923390ad55e90c237593b3b0e401f3b08a03185",
    "aefdb9a738c9f433e5b6b212a6d62f6370c2f692",
    "c7eeb9a4e00ce683cf93039b212648e01c6c6b78",
)
PUBLISHED_EXTRA_DATA = (
    "f87aa00000000000000000000000000000000000000000000000000000000000000000f854"
    "9464a702e6263b7297a96638cac6ae65e6541f4169943923390ad55e90c237593b3b0e401f3b08a03185"
    "94aefdb9a738c9f433e5b6b212a6d62f6370c2f69294c7eeb9a4e00ce683cf93039b212648e01c6c6b78c080c0"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "network"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def genesis_of(folder: Path) -> Any:
    return json.loads((folder / "genesis.json").read_text())


def test_extra_data_is_the_published_one() -> None:
    assert qbft_extra_data([bytes.fromhex(one) for one in PUBLISHED_VALIDATORS]).hex() == PUBLISHED_EXTRA_DATA


def test_genesis_names_the_validators_whose_keys_were_made(folder: Path, keys: Path) -> None:
    network = write_network(folder, keys, DEFAULT_HOSTS)
    genesis = genesis_of(folder)
    vanity, validators, votes, round_number, seals = rlp.decode(bytes.fromhex(genesis["extraData"][2:]))
    assert (vanity, votes, round_number, seals) == (bytes(32), [], b"", [])
    secrets = [bytes.fromhex((keys / str(one) / "key").read_text().strip()[2:]) for one in (1, 2, 3, 4)]
    addresses = [keccak(PrivateKey(one).public_key.to_bytes())[12:] for one in secrets]
    assert validators == sorted(addresses)
    assert [one.address for one in network.validators] == addresses
    assert network.created
    assert network.without_key == ()


def test_genesis_has_free_gas_and_the_rules_of_the_contracts_from_the_first_block_on(folder: Path, keys: Path) -> None:
    steward = Account.create().address
    write_network(folder, keys, DEFAULT_HOSTS, chain_id=7, block_seconds=2, prefunded=[steward])
    genesis = genesis_of(folder)
    config = genesis["config"]
    assert config["chainId"] == 7
    assert [config[fork] for fork in ("berlinBlock", "londonBlock", "shanghaiTime")] == [0, 0, 0]
    assert not {"cancunTime", "pragueTime", "terminalTotalDifficulty", "clique", "ibft2", "ethash"} & set(config)
    assert config["zeroBaseFee"] is True
    assert config["qbft"] == {"blockperiodseconds": 2, "epochlength": 30000, "requesttimeoutseconds": 6}
    assert (genesis["baseFeePerGas"], genesis["difficulty"], genesis["nonce"]) == ("0x0", "0x1", "0x0")
    assert bytes.fromhex(genesis["mixHash"][2:]) == b"ctical byzantine fault tolerance"
    assert int(genesis["gasLimit"], 16) >= 2**24, "the largest transaction must fit into a block"
    assert {who: int(one["balance"], 16) for who, one in genesis["alloc"].items()} == {steward[2:]: 10**24}


def test_static_nodes_and_allowlist_are_the_validators_enodes(folder: Path, keys: Path) -> None:
    guest = "enode://" + "ab" * 64 + "@10.0.0.9:30303"
    write_network(folder, keys, DEFAULT_HOSTS, allowed=[guest])
    enodes = []
    for number, host in enumerate(DEFAULT_HOSTS, start=1):
        key = PrivateKey(bytes.fromhex((keys / str(number) / "key").read_text().strip()[2:]))
        enodes.append(f"enode://{key.public_key.to_bytes().hex()}@{host}:30303")
    assert json.loads((folder / "static-nodes.json").read_text()) == enodes
    allowed = tomllib.loads((folder / "permissions.toml").read_text())
    assert allowed == {"nodes-allowlist": [*enodes, guest]}


def test_keys_are_readable_by_their_owner_alone(folder: Path, keys: Path) -> None:
    write_network(folder, keys, DEFAULT_HOSTS[:1])
    assert (keys / "1" / "key").stat().st_mode & 0o777 == 0o600
    secret = (keys / "1" / "key").read_text().strip().removeprefix("0x")
    assert all(secret not in path.read_text() for path in folder.iterdir())


def test_run_again_it_changes_nothing(folder: Path, keys: Path) -> None:
    write_network(folder, keys, DEFAULT_HOSTS)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in (*folder.iterdir(), *keys.rglob("key*"))}
    assert not write_network(folder, keys, DEFAULT_HOSTS).created
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before


def test_killed_before_the_genesis_file_it_goes_on_with_the_same_keys(folder: Path, keys: Path) -> None:
    first = write_network(folder, keys, DEFAULT_HOSTS)
    first.genesis.unlink()
    second = write_network(folder, keys, DEFAULT_HOSTS)
    assert second.created
    assert second.validators == first.validators


def test_another_network_is_never_overwritten(folder: Path, keys: Path) -> None:
    write_network(folder, keys, DEFAULT_HOSTS)
    before = (folder / "genesis.json").read_bytes()
    with pytest.raises(ConfigError, match="is another network's, and nodes may run on it"):
        write_network(folder, keys, DEFAULT_HOSTS, chain_id=9)
    (keys / "2" / "key").unlink()
    (keys / "2" / "key.pub").unlink()
    with pytest.raises(ConfigError, match="is another network's"):
        write_network(folder, keys, DEFAULT_HOSTS)
    assert (folder / "genesis.json").read_bytes() == before


def test_another_organisation_gives_its_public_key_alone(folder: Path, keys: Path, tmp_path: Path) -> None:
    theirs = write_network(tmp_path / "theirs", tmp_path / "their-keys", ["10.0.0.1"]).validators[0]
    (keys / "2").mkdir(parents=True)
    (keys / "2" / "key.pub").write_text(theirs.public_key.hex() + "\n")
    network = write_network(folder, keys, ["10.0.0.5", "10.0.0.1"])
    assert network.without_key == (2,)
    assert network.validators[1] == Validator(2, theirs.public_key, "10.0.0.1")
    assert not (keys / "2" / "key").exists()


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert Validator(1, b"\x01" * 64, "fd00::1").enode.endswith("@[fd00::1]:30303")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hosts": []}, "give 1 to 100 different IP addresses"),
        ({"hosts": ["10.0.0.1", "10.0.0.1"]}, "different IP addresses"),
        ({"hosts": ["validator-1"]}, "'validator-1' is no IP address"),
        ({"chain_id": 0}, "at least 1"),
        ({"block_seconds": 0}, "at least 1"),
        ({"prefunded": ["0x12"]}, "'0x12' is no address"),
        ({"allowed": ["enode://12@host:1"]}, "is no enode URL"),
    ],
)
def test_malformed_settings_are_config_errors(folder: Path, keys: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        write_network(folder, keys, **{"hosts": list(DEFAULT_HOSTS), **change})
    assert not folder.exists()


@pytest.mark.parametrize("text", ["", "0x12", "zz" * 32, "00" * 32, "ff" * 32, "12" * 33])
def test_a_damaged_key_is_a_config_error_that_does_not_show_it(folder: Path, keys: Path, text: str) -> None:
    (keys / "1").mkdir(parents=True)
    (keys / "1" / "key").write_text(text)
    with pytest.raises(ConfigError, match=r"1/key: ") as caught:
        write_network(folder, keys, DEFAULT_HOSTS)
    assert len(text) < 8 or text not in str(caught.value)


def test_a_public_key_of_another_key_is_noticed(folder: Path, keys: Path) -> None:
    write_network(folder, keys, DEFAULT_HOSTS)
    (keys / "1" / "key.pub").write_text((keys / "2" / "key.pub").read_text())
    with pytest.raises(ConfigError, match="is not the public key of"):
        write_network(folder, keys, DEFAULT_HOSTS)
    (keys / "1" / "key").unlink()
    with pytest.raises(ConfigError, match="two validators have the same key"):
        write_network(folder, keys, DEFAULT_HOSTS)
