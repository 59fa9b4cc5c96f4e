"""All checks of the doctor, in the order in which one depends on another."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from fedchain.chain import Account, ChainClient, Consortium, Deployment
from fedchain.errors import ChainError, ConfigError
from fedchain.exchange import Identity
from fedchain.node.config import NodeConfig, load_config
from fedchain.node.doctor import chain, files, peers
from fedchain.node.doctor.api import check_api
from fedchain.node.doctor.finding import Finding, Level, failed, ok
from fedchain.node.key_files import party_address


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found.

    Attributes:
        findings: all of them, in the order of the checks. A check that depends on a failed one is not made.
        running: whether the node runs.
    """

    findings: tuple[Finding, ...]
    running: bool

    @property
    def level(self) -> Level:
        """The worst one."""
        found = {one.level for one in self.findings}
        return next((one for one in (Level.FAIL, Level.WARN) if one in found), Level.OK)


def examine(
    path: Path,
    *,
    dev_chain_ids: Collection[int] = (),
    id_column: str = "id",
    columns: tuple[str, ...] = (),
) -> Diagnosis:
    """Look at a node, running or not. Writes nothing, and sends no transaction.

    Args:
        path: of its node.toml.
        dev_chain_ids: of chains whose newest block may be old.
        id_column: column with ids in the node's table.
        columns: other columns that must be in it.

    Returns:
        What was found; nothing of what is checked is raised.
    """
    try:
        config = load_config(path)
    except ConfigError as error:
        return Diagnosis((failed("node.toml", error, "correct it, or restore it"),), running=False)
    process, running = files.check_process(config)
    keystore, account = files.check_keystore(config)
    certificate, identity = files.check_identity(config)
    findings = [
        ok("node.toml", f"{path}: node '{config.name}'"),
        process,
        *files.check_permissions(config),
        keystore,
        certificate,
        files.check_data(config, id_column=id_column, columns=columns),
        files.check_disk(config),
        *files.check_settlements(config),
    ]
    if config.api.port is not None:
        findings.append(check_api(config))
    recorded, deployment = chain.check_deployment(config)
    findings.append(recorded)
    if deployment is not None:
        findings += _on_chain(config, deployment, account, identity, running, dev_chain_ids)
    return Diagnosis(tuple(findings), running)


def _on_chain(
    config: NodeConfig,
    deployment: Deployment,
    account: Account | None,
    identity: Identity | None,
    running: bool,
    dev_chain_ids: Collection[int],
) -> Iterator[Finding]:
    finding, client = chain.check_chain(config, deployment)
    yield finding
    if client is None:
        return
    with client:
        yield chain.check_code(client, deployment)
        yield chain.check_clock(client, dev_chain_ids=dev_chain_ids)
        if account is None:
            return
        yield chain.check_balance(client, account.address)
        consortium = _opened(client, deployment)
        if consortium is None:
            return  # the check of the contracts has said why
        try:
            party = party_address(consortium, account.address)
        except ChainError as error:
            yield failed("registry", error, "look at the chain's node")
            return
        yield from chain.check_registration(
            consortium, config, party, identity, running=running, signer=account.address
        )
        if identity is not None and running:
            yield peers.check_served(consortium, config, party)
        if identity is not None:
            yield from peers.check_peers(consortium, config, party)


def _opened(client: ChainClient, deployment: Deployment) -> Consortium | None:
    try:
        return Consortium(client, deployment)
    except ChainError:
        return None
