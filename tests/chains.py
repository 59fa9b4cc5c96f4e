"""The chain for tests that need one and do not care which."""

from __future__ import annotations

from fedchain.chain.devchain import ChainKind, find_tool
from fedchain.errors import ConfigError


def any_kind() -> ChainKind:
    """anvil, which is several times as fast, where it is installed; else the embedded chain."""
    try:
        find_tool("anvil")
    except ConfigError:
        return "embedded"
    return "anvil"
