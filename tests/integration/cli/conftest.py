"""One embedded chain with deployed contracts; commands run in this process, nodes as processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner, Result

from fedchain.chain import ChainClient, Consortium, Deployment, JobPolicy, Sender, dev_accounts, start_dev_chain
from fedchain.chain import deploy as deploy_contracts
from fedchain.cli.main import app
from fedchain.types import JobId, Status
from tests.certificates import STAND_IN_KEY, stand_in_certificate

Invoke = Callable[..., Result]


@dataclass(frozen=True)
class Net:
    """A chain and its deployment file; development account 0 is deployer and steward."""

    rpc_url: str
    deployment: Path

    def consortium(self, account: int) -> Consortium:
        """The contracts, with a development account as sender."""
        client = ChainClient(self.rpc_url)
        return Consortium(client, Deployment.load(self.deployment), Sender(client, dev_accounts(10)[account]))

    def participant(self, account: int, name: str, *, accredited: bool = True) -> str:
        """The address of a development account, registered under this name."""
        own = self.consortium(account)
        address = dev_accounts(10)[account].address
        if own.participant(address).status is Status.UNKNOWN:
            own.register(name, "127.0.0.1:1", stand_in_certificate(name), STAND_IN_KEY)
        if accredited and own.participant(address).status is Status.REGISTERED:
            self.consortium(0).accredit(address)
        return address

    def propose(self, *, phase_seconds: int = 86_400) -> JobId:
        """A job of `alpha` (account 1, active) and `beta` (account 2) that nobody works on."""
        roster = [self.participant(1, "alpha"), self.participant(2, "beta")]
        return self.consortium(1).propose(b"{}", roster, JobPolicy(1 << 20, 7, 0, phase_seconds=phase_seconds))


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    folder = tmp_path_factory.mktemp("net")
    with start_dev_chain("embedded", log_path=folder / "chain.log") as chain:
        steward = dev_accounts(1)[0]
        deploy_contracts(ChainClient(chain.rpc_url), steward, [steward.address], folder / "deployment.json")
        yield Net(chain.rpc_url, folder / "deployment.json")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, config = list(root.handlers), root.level, structlog.get_config()
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.configure(**config)


@pytest.fixture
def invoke(net: Net) -> Invoke:
    """Runs a command against the chain and the deployment of `net`."""
    environment = {"FEDCHAIN_RPC": net.rpc_url, "FEDCHAIN_DEPLOYMENT": str(net.deployment)}

    def run(*arguments: object) -> Result:
        return CliRunner(env=environment).invoke(app, [str(one) for one in arguments])

    return run


def assert_one_line(result: Result, code: int, *words: str) -> None:
    """The command failed with this code and one line on stderr that holds these words; nothing on stdout."""
    assert result.stderr.startswith("error: "), result.stderr
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr
    assert result.exit_code == code
