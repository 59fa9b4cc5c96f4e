"""Checks of the chain: it answers, is the right one, holds the packaged contracts; and what it knows of the node."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from itertools import pairwise

from fedchain.chain import ChainClient, Consortium, Deployment, check_contracts
from fedchain.errors import ChainError, ConfigError, WrongChainError
from fedchain.exchange import Identity
from fedchain.node.config import NodeConfig
from fedchain.node.doctor.finding import Finding, fail, failed, ok, warn
from fedchain.types import Status

CLOCK_SECONDS = 15
"""The node's clock and the chain's may differ by so much."""

REQUEST_SECONDS = 5.0
LEAST_GAS = 1_000_000
"""About what one registration costs: with less, a node can do nothing."""

LOW_GAS = 100_000_000
"""About what some rounds of training cost."""

_GAPS = 8


def check_deployment(config: NodeConfig) -> tuple[Finding, Deployment | None]:
    """The deployment file can be read, and is one."""
    try:
        deployment = Deployment.load(config.chain.deployment)
    except ConfigError as error:
        return failed("deployment file", error, "get the consortium's deployment file, or set [chain] deployment"), None
    return ok("deployment file", f"{config.chain.deployment}: chain {deployment.chain_id}"), deployment


def check_chain(config: NodeConfig, deployment: Deployment) -> tuple[Finding, ChainClient | None]:
    """The chain answers and is the recorded one, by id and first block. The caller closes the client."""
    wanted = config.chain.chain_id
    if wanted is not None and wanted != deployment.chain_id:
        found = f"[chain] chain_id is {wanted}, the deployment file says {deployment.chain_id}"
        return fail("chain", found, "correct [chain] chain_id, or the deployment file"), None
    try:
        client = ChainClient(config.chain.rpc, timeout_seconds=REQUEST_SECONDS)
    except (ConfigError, ChainError) as error:
        return failed("chain", error, "start the chain's node, or correct [chain] rpc"), None
    try:
        deployment.check_chain(client)
        head = client.head()
    except WrongChainError as error:
        client.close()
        return failed("chain", error, "correct [chain] rpc, or get this chain's deployment file"), None
    except ChainError as error:
        client.close()
        return failed("chain", error, "look at the chain's node"), None
    return ok("chain", f"{client.rpc_url}: chain {client.chain_id}, block {head}"), client


def check_code(client: ChainClient, deployment: Deployment) -> Finding:
    """The contracts on the chain are the recorded ones and those of this package; see `check_contracts`."""
    try:
        checks = check_contracts(client, deployment)
    except ChainError as error:
        return failed("contracts", error, "look at the chain's node")
    bad = [f"{one.name} at {one.address}: {one.problem}" for one in checks if one.problem]
    if bad:
        return fail("contracts", "; ".join(bad), "get the consortium's deployment file, and its version of fedchain")
    return ok("contracts", f"all {len(checks)} are, byte for byte, what this version deploys, and wired as recorded")


def check_clock(
    client: ChainClient, *, dev_chain_ids: Collection[int], now: Callable[[], float] = time.time
) -> Finding:
    """This machine's clock against the newest block's.

    A block from the future is a sign of trouble, an old one only where blocks come steadily: after some times the
    longest pause between the last blocks. A development chain has a time of its own: it is shown, and not judged.

    Args:
        client: the chain.
        dev_chain_ids: of development chains: blocks come when there is something for them, in bursts dated ahead.
        now: seconds since 1970; for tests.
    """
    try:
        number, newest = client.block_time()
        age = now() - newest
        if client.chain_id in dev_chain_ids:
            return ok("clock", f"block {number} is {age:.0f} s old; not judged on a development chain")
        if age < -CLOCK_SECONDS:
            found = f"block {number} is {-age:.0f} s ahead of this machine's clock"
            return warn("clock", found, "set the clocks of this machine and of the chain's nodes by NTP")
        if age > CLOCK_SECONDS:
            times = [client.block_time(one)[1] for one in range(max(1, number - _GAPS), number)] + [newest]
            pause = max((later - earlier for earlier, later in pairwise(times)), default=0)
            if age > CLOCK_SECONDS + 4 * pause:
                found = f"block {number} is {age:.0f} s old, the pauses before it were at most {pause} s"
                return warn("clock", found, "see whether the chain stands still, and set this machine's clock by NTP")
    except ChainError as error:
        return failed("clock", error, "look at the chain's node")
    return ok("clock", f"block {number} is {max(age, 0.0):.0f} s old")


def check_registration(
    consortium: Consortium,
    config: NodeConfig,
    address: str,
    identity: Identity | None,
    *,
    running: bool,
    signer: str | None = None,
) -> list[Finding]:
    """What the registry says of this node: name, standing, key, endpoint and certificate.

    Args:
        consortium: for reading.
        config: of the node.
        address: of its party.
        identity: its certificate, if there is one.
        running: whether it runs.
        signer: address of the key in its keystore; None for the party's own.
    """
    try:
        entry = consortium.participant(address)
        holder = consortium.address_of(config.name)
    except ChainError as error:
        return [failed("registry", error, "look at the chain's node")]
    if entry.status is Status.UNKNOWN:
        if holder is not None:
            found = f"name '{config.name}' is registered by {holder}, this node is {address}"
            return [fail("registry", found, "choose another name in node.toml, or use that address's keystore")]
        fix = "run `fedchain node register DIR`, or start the node: it registers itself"
        return [warn("registry", f"'{config.name}' ({address}) is not registered yet", fix)]
    if entry.name != config.name:
        found = f"{address} is registered as '{entry.name}', node.toml says '{config.name}'"
        return [fail("registry", found, f'set name = "{entry.name}" in node.toml')]
    if entry.signer and entry.signer != (signer or address):
        found = f"the key of '{entry.name}' was rotated to {entry.signer}, the keystore holds {signer or address}"
        return [fail("registry", found, "restore the keystore of the last rotation, or a newer backup")]
    who = f"'{entry.name}' at {entry.endpoint}, {entry.strikes} strikes"
    if entry.status is Status.SUSPENDED:
        findings = [fail("registry", f"{who}: suspended", "ask a steward to reinstate it")]
    elif entry.status is Status.BANNED:
        findings = [fail("registry", f"{who}: banned, for ever", "ask the stewards why")]
    elif entry.status is Status.REGISTERED:
        findings = [warn("registry", f"{who}: registered, not accredited", "ask a steward to accredit it")]
    else:
        findings = [ok("registry", f"{who}: accredited")]
    wanted = config.serve.endpoint
    if wanted is not None and wanted != entry.endpoint:
        found = f"node.toml says {wanted}, the registry {entry.endpoint}"
        findings.append(warn("registered endpoint", found, "restart the node: it enters the new one"))
    if identity is not None and identity.fingerprint != entry.fingerprint:
        found = f"0x{identity.fingerprint.hex()} here, 0x{entry.fingerprint.hex()} in the registry"
        say = fail if running else warn
        findings.append(say("registered certificate", found, "restart the node: it enters its certificate"))
    elif identity is not None:
        findings.append(ok("registered certificate", "the same as here"))
    return findings


def check_balance(client: ChainClient, address: str) -> Finding:
    """Whether the node can pay for what it sends; nothing is needed where gas is free."""
    try:
        price, balance = client.fair_price(), client.balance(address)
    except ChainError as error:
        return failed("balance", error, "look at the chain's node")
    if price == 0:
        return ok("balance", f"{balance} wei; gas is free on this chain")
    gas = balance // price
    found = f"{balance} wei pay for {gas} gas at {price} wei"
    if gas < LEAST_GAS:
        return fail("balance", f"{found}, not even for a registration", f"send ether to {address}")
    if gas < LOW_GAS:
        return warn("balance", f"{found}, soon too little", f"send ether to {address}")
    return ok("balance", found)
