"""eth_account, without what importing it does to the whole process.

A library behind it sets the recursion limit to 100,000, beyond what the stack holds: deep input to any parser would
then end the process instead of raising.
"""

from __future__ import annotations

import sys

_recursion_limit = sys.getrecursionlimit()

from eth_account import Account as EthAccount  # noqa: E402
from eth_account.hdaccount import seed_from_mnemonic  # noqa: E402
from eth_account.hdaccount.deterministic import HDPath  # noqa: E402
from eth_account.signers.local import LocalAccount  # noqa: E402
from eth_utils.exceptions import ValidationError  # noqa: E402

sys.setrecursionlimit(_recursion_limit)

__all__ = [
    "EthAccount",
    "HDPath",
    "LocalAccount",
    "ValidationError",
    "seed_from_mnemonic",
]
