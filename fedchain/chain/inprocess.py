"""The embedded development chain in this very process: no server, no socket. For simulations and tests."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from fedchain.chain.account import Account
from fedchain.chain.client import ChainClient
from fedchain.chain.contracts import Consortium
from fedchain.chain.deploying import deploy
from fedchain.chain.embedded_chain import EmbeddedChain
from fedchain.chain.embedded_rpc import EmbeddedRpc
from fedchain.chain.rpc import RpcError
from fedchain.chain.sender import Sender


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

    Attributes:
        client: the chain.
        deployment: the contracts.
        steward: the consortium as its steward sees it.
    """

    def __init__(self) -> None:
        self._transport = InProcessTransport(EmbeddedChain())
        self.client = ChainClient(self._transport)
        account = Account.create()
        with tempfile.TemporaryDirectory(prefix="fedchain-") as folder:
            out = Path(folder) / "deployment.json"
            self.deployment, _ = deploy(self.client, account, [account.address], out, delay_seconds=0)
        self.steward = Consortium(self.client, self.deployment, Sender(self.client, account))

    def enrol(self, name: str) -> Consortium:
        """A new accredited member.

        Args:
            name: its, as in the registry; unique.

        Returns:
            The consortium as this member sees it, with a key of its own.
        """
        member = self._as(Account.create())
        assert member.sender is not None
        member.register(name, "localhost:1", b"certificate of " + name.encode(), name.encode().ljust(32, b"\0")[:32])
        self.steward.accredit(member.sender.address)
        return member

    def advance(self, seconds: int) -> None:
        """Let time pass for all later blocks.

        Raises:
            RpcError: more than 2^31 seconds, or less than none.
        """
        self._transport.request("evm_increaseTime", seconds)

    def now(self) -> int:
        """The newest block's time, seconds since 1970."""
        return self.client.block_time()[1]

    def _as(self, account: Account) -> Consortium:
        return Consortium(self.client, self.deployment, Sender(self.client, account))
