"""A development chain with the contracts on it, for simulations and tests of one process.

The embedded chain runs in this very process: no server, no socket. anvil, where it is installed, is a process of its
own and several times as fast.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from fedchain.chain.account import Account, dev_accounts
from fedchain.chain.client import ChainClient, Transport
from fedchain.chain.contracts import Consortium
from fedchain.chain.deploying import deploy
from fedchain.chain.devchain import ChainKind, DevChain, start_dev_chain
from fedchain.chain.embedded_chain import EmbeddedChain
from fedchain.chain.embedded_rpc import EmbeddedRpc
from fedchain.chain.rpc import RpcError, RpcTransport
from fedchain.chain.sender import Sender

_FUNDS_WEI = 10**18


class InProcessTransport:
    """Answers a client's requests from a chain in this process.

    Attributes:
        url: for error messages.
    """

    url = "embedded:in-process"

    def __init__(self, chain: EmbeddedChain) -> None:
        self._rpc = EmbeddedRpc(chain)

    def request(self, method: str, *params: object) -> Any:
        """Carry out one request and return its `result`.

        Raises:
            RpcError: the chain refuses it.
        """
        answer = self._rpc.answer({"jsonrpc": "2.0", "id": 0, "method": method, "params": list(params)})
        if "error" in answer:
            error = answer["error"]
            raise RpcError(method, error["code"], error["message"], error.get("data"))
        return answer["result"]

    def close(self) -> None:
        """Nothing is open."""


class InProcessConsortium:
    """A new chain with all contracts on it and one steward, who accredits whoever is enrolled.

    Args:
        kind: `embedded`, or a tool that is installed (`start_dev_chain`); `close` ends it.

    Attributes:
        client: the chain.
        deployment: the contracts.
        steward: the consortium as its steward sees it.

    Raises:
        ConfigError: the tool is missing.
    """

    def __init__(self, kind: ChainKind = "embedded") -> None:
        self._server: DevChain | None = None
        self._transport: Transport
        if kind == "embedded":
            self._transport = InProcessTransport(EmbeddedChain())
        else:
            self._server = start_dev_chain(kind)
            self._transport = RpcTransport(self._server.rpc_url, 30.0)
        self.client = ChainClient(self._transport)
        (account,) = dev_accounts(1)
        sender = Sender(self.client, account)
        with tempfile.TemporaryDirectory(prefix="fedchain-") as folder:
            out = Path(folder) / "deployment.json"
            self.deployment, _ = deploy(self.client, account, [account.address], out, delay_seconds=0)
        self.steward = Consortium(self.client, self.deployment, sender)
        self._bank = sender

    def close(self) -> None:
        """End the chain."""
        self.client.close()
        if self._server is not None:
            self._server.stop()

    def enrol(self, name: str) -> Consortium:
        """A new accredited member.

        Args:
            name: its, as in the registry; unique.

        Returns:
            The consortium as this member sees it, with a key of its own.
        """
        account = Account.create()
        member = Consortium(self.client, self.deployment, Sender(self.client, account))
        self.fund(member)
        member.register(name, "localhost:1", b"certificate of " + name.encode(), name.encode().ljust(32, b"\0")[:32])
        self.steward.accredit(account.address)
        return member

    def fund(self, member: Consortium) -> None:
        """Give a member ether for more transactions where it has little left; gas of the embedded chain is free."""
        assert member.sender is not None
        if self._server is not None and self.client.balance(member.sender.address) < _FUNDS_WEI // 2:
            self._bank.transfer(member.sender.address, _FUNDS_WEI)

    def advance(self, seconds: int) -> None:
        """Let time pass for all later blocks.

        Raises:
            RpcError: more than 2^31 seconds, or less than none.
        """
        until = self.now() + seconds
        self._transport.request("evm_increaseTime", seconds)
        if self._server is None:  # it counts from the newest block, and calls are at the time of the next one
            return
        self._transport.request("evm_mine")
        if self.now() < until:  # others count from the clock, and their blocks may be ahead of it
            self._transport.request("evm_increaseTime", until - self.now())
            self._transport.request("evm_mine")

    def now(self) -> int:
        """The newest block's time, seconds since 1970."""
        return self.client.block_time()[1]
