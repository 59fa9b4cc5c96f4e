"""The state of a node that is stopped, for a command that acts in its place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from fedchain.chain import ChainClient, Sender
from fedchain.exchange.exchange import lock_folder
from fedchain.exchange.outbox import NodeOutbox
from fedchain.exchange.state import NodeState
from fedchain.node.config import NodeConfig


@contextmanager
def own_state(config: NodeConfig, client: ChainClient) -> Iterator[NodeState]:
    """A stopped node's state file; its folder is locked meanwhile.

    Raises:
        ConfigError: the node runs.
    """
    folder = config.state.folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = lock_folder(folder)
    try:
        state = NodeState(folder / "node.sqlite", chain_id=client.chain_id, genesis_hash=client.genesis_hash())
        try:
            yield state
        finally:
            state.close()
    finally:
        os.close(lock)


@contextmanager
def own_outbox(config: NodeConfig, client: ChainClient, sender: Sender) -> Iterator[None]:
    """A stopped node's own outbox for its sender, after what an earlier process left in it has been finished.

    The state folder is locked meanwhile.

    Raises:
        ConfigError: the node runs.
        ChainError: the chain.
    """
    with own_state(config, client) as state:
        sender.attach(NodeOutbox(state, sender.address))
        sender.resume()
        yield
