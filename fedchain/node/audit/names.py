"""Names instead of addresses, for whatever is told of the chain."""

from __future__ import annotations

from fedchain.chain import Consortium


class Names:
    """Names of the registry, each asked for once."""

    def __init__(self, consortium: Consortium) -> None:
        self._consortium = consortium
        self._known: dict[str, str] = {}

    def __call__(self, address: str) -> str:
        if address not in self._known:
            self._known[address] = self._consortium.participant(address).name or address
        return self._known[address]
