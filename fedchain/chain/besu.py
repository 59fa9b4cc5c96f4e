"""The files of a Hyperledger Besu network that a consortium runs: QBFT, Shanghai rules, free gas, known nodes alone.

Sources: https://besu.hyperledger.org/public-networks/reference/genesis-items and
https://besu.hyperledger.org/private-networks/how-to: consensus/qbft, configure/free-gas, use-local-permissioning.
"""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rlp  # type: ignore[import-untyped]
from eth_keys.datatypes import PrivateKey, PublicKey
from eth_utils.exceptions import ValidationError as KeyValidationError

from fedchain.chain.abi import checksum
from fedchain.chain.files import write_atomically
from fedchain.errors import ConfigError

DEFAULT_HOSTS = ("172.30.65.11", "172.30.65.12", "172.30.65.13", "172.30.65.14")
"""Addresses of the validators in `docker/compose.besu.yml`."""

DEFAULT_CHAIN_ID = 65244
P2P_PORT = 30303
BLOCK_GAS_LIMIT = 10**9
"""Far above the largest transaction, as on the development chains: a block has room for a whole round."""

MAX_VALIDATORS = 100
PREFUND_WEI = 10**24

_VANITY = bytes(32)
_BFT_MIX_HASH = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"
_MAX_KEY_BYTES = 256


@dataclass(frozen=True)
class Validator:
    """One validator, as all others know it.

    Attributes:
        number: from 1, in the order of the hosts; the name of its folder.
        public_key: 64 bytes, its id in the peer-to-peer network.
        host: IP address at which the other validators reach it.
        port: of the peer-to-peer network.
    """

    number: int
    public_key: bytes
    host: str
    port: int = P2P_PORT

    @property
    def address(self) -> bytes:
        """20 bytes: who signs its blocks."""
        return bytes(PublicKey(self.public_key).to_canonical_address())

    @property
    def enode(self) -> str:
        """How others dial it, and know it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"enode://{self.public_key.hex()}@{host}:{self.port}"


@dataclass(frozen=True)
class BesuNetwork:
    """What was written.

    Attributes:
        validators: in order of their number.
        genesis: path of `genesis.json`.
        static_nodes: path of `static-nodes.json`.
        permissions: path of `permissions.toml`.
        created: False where all of it was there already.
        without_key: numbers of the validators whose public key alone is here.
    """

    validators: tuple[Validator, ...]
    genesis: Path
    static_nodes: Path
    permissions: Path
    created: bool
    without_key: tuple[int, ...]


def qbft_extra_data(validators: Sequence[bytes]) -> bytes:
    """A QBFT genesis block's `extraData`: RLP of 32 zero bytes, validators, no vote, round 0, no seals.

    Args:
        validators: addresses of 20 bytes.
    """
    return bytes(rlp.encode([_VANITY, list(validators), [], 0, []]))


def qbft_genesis(
    validators: Sequence[bytes], *, chain_id: int, block_seconds: int, prefunded: Sequence[str] = ()
) -> dict[str, Any]:
    """The content of `genesis.json`.

    All rules up to Shanghai hold from the first block on: the contracts need them. The base fee is zero for ever, so a
    transaction may offer nothing. A prefunded account needs its ether on versions of Besu alone that leave accounts
    without any out of their blocks (26.4.0 to 26.7.0).

    Args:
        validators: addresses of 20 bytes.
        chain_id: of the chain.
        block_seconds: between two blocks.
        prefunded: 0x addresses that get ether.
    """
    return {
        "config": {
            "chainId": chain_id,
            "berlinBlock": 0,
            "londonBlock": 0,
            "shanghaiTime": 0,
            "zeroBaseFee": True,
            "qbft": {
                "blockperiodseconds": block_seconds,
                "epochlength": 30000,
                "requesttimeoutseconds": 2 * block_seconds + 2,
            },
        },
        "nonce": "0x0",
        "timestamp": "0x0",
        "extraData": "0x" + qbft_extra_data(sorted(validators)).hex(),
        "gasLimit": hex(BLOCK_GAS_LIMIT),
        "baseFeePerGas": "0x0",
        "difficulty": "0x1",
        "mixHash": _BFT_MIX_HASH,
        "coinbase": "0x" + "00" * 20,
        "alloc": {checksum(one)[2:]: {"balance": hex(PREFUND_WEI)} for one in sorted(set(prefunded))},
    }


def write_network(
    folder: Path,
    keys: Path,
    hosts: Sequence[str],
    *,
    chain_id: int = DEFAULT_CHAIN_ID,
    block_seconds: int = 1,
    prefunded: Sequence[str] = (),
    allowed: Sequence[str] = (),
) -> BesuNetwork:
    """Write genesis, static nodes and the allowlist of nodes, and the keys of validators that have none yet.

    `keys/N/key` is validator N's private key, mode 0600, and `keys/N/key.pub` its public key; where only the public key
    is there, the private one is its organisation's. `folder` holds nothing secret, and is the same for all.

    Args:
        folder: of the files that all nodes share.
        keys: with a folder per validator.
        hosts: an IP address per validator.
        chain_id: of the chain, at least 1.
        block_seconds: between two blocks, at least 1.
        prefunded: 0x addresses that get ether.
        allowed: enode URLs of further nodes that may connect.

    Raises:
        ConfigError: an argument or a key file is malformed, or `folder` holds another network: that stays as it is.
    """
    _check(hosts, chain_id, block_seconds, prefunded, allowed)
    validators = tuple(
        Validator(number, _public_key(keys / str(number)), host) for number, host in enumerate(hosts, start=1)
    )
    if len({one.public_key for one in validators}) != len(validators):
        raise ConfigError(f"{keys}: two validators have the same key; each needs one of its own")
    genesis = qbft_genesis(
        [one.address for one in validators], chain_id=chain_id, block_seconds=block_seconds, prefunded=prefunded
    )
    enodes = [one.enode for one in validators]
    files = {
        folder / "static-nodes.json": json.dumps(enodes, indent=2) + "\n",
        folder / "permissions.toml": f"nodes-allowlist={json.dumps([*enodes, *allowed])}\n",
        folder / "genesis.json": json.dumps(genesis, indent=2) + "\n",  # last: it says that all is there
    }
    return BesuNetwork(
        validators,
        folder / "genesis.json",
        folder / "static-nodes.json",
        folder / "permissions.toml",
        _write(files),
        tuple(one.number for one in validators if not (keys / str(one.number) / "key").exists()),
    )


def _write(files: Mapping[Path, str]) -> bool:
    """Write the files; whether there was something to write."""
    *_, genesis = files
    try:
        if genesis.exists():
            for path, text in files.items():
                if not path.exists() or path.read_text(encoding="utf-8") != text:
                    raise ConfigError(
                        f"{path}: is another network's, and nodes may run on it; "
                        "give the same settings and keys, or another folder"
                    )
            return False
        for path, text in files.items():
            write_atomically(path, text.encode())
    except OSError as error:
        raise ConfigError(f"{genesis.parent}: cannot be written: {error.strerror}") from error
    return True


def _check(
    hosts: Sequence[str], chain_id: int, block_seconds: int, prefunded: Sequence[str], allowed: Sequence[str]
) -> None:
    if not 1 <= len(hosts) <= MAX_VALIDATORS or len(set(hosts)) != len(hosts):
        raise ConfigError(f"hosts: give 1 to {MAX_VALIDATORS} different IP addresses, one per validator")
    for host in hosts:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ConfigError(f"host '{host}' is no IP address: Besu's node lists take no names") from None
    if chain_id < 1 or block_seconds < 1:
        raise ConfigError(f"chain id {chain_id}, {block_seconds} s per block: both are at least 1")
    for address in prefunded:
        if re.fullmatch("0x[0-9a-fA-F]{40}", address) is None:
            raise ConfigError(f"'{address}' is no address: 0x and 40 hex digits")
    for enode in allowed:
        if re.fullmatch(r"enode://[0-9a-f]{128}@[0-9a-zA-Z.:\[\]-]+:\d{1,5}", enode) is None:
            raise ConfigError(f"'{enode[:200]}' is no enode URL: enode://<128 hex digits>@<address>:<port>")


def _public_key(folder: Path) -> bytes:
    """A validator's public key, 64 bytes; its keys are made where there is none."""
    private, public = folder / "key", folder / "key.pub"
    if private.exists():
        try:
            key = PrivateKey(_read_hex(private, 32))
        except KeyValidationError:
            raise ConfigError(f"{private}: is no private key of secp256k1") from None
        found = key.public_key.to_bytes()
        if public.exists() and _read_hex(public, 64) != found:
            raise ConfigError(f"{public}: is not the public key of {private}")
    elif public.exists():
        return _read_hex(public, 64)
    else:
        found = _make_key(private)
    if not public.exists():
        _save(public, found, 0o644)
    return bytes(found)


def _make_key(path: Path) -> bytes:
    while True:
        raw = secrets.token_bytes(32)
        try:
            public = PrivateKey(raw).public_key.to_bytes()
        except (KeyValidationError, ValueError):  # once in 2**128: not below the group's order
            continue
        _save(path, raw, 0o600)
        return bytes(public)


def _save(path: Path, raw: bytes, mode: int) -> None:
    try:
        write_atomically(path, f"0x{raw.hex()}\n".encode(), mode=mode)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def _read_hex(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_KEY_BYTES).decode("ascii").strip()
        raw = bytes.fromhex(text.removeprefix("0x"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError:
        raw = b""
    if len(raw) != size:
        raise ConfigError(f"{path}: must hold {size} bytes in hex, and nothing else")
    return raw
