"""What a test may see of a job that nobody else may: the active party's gradient keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fedchain.crypto.elgamal import KeyPair


@contextmanager
def keys_of_the_job(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[KeyPair]]:
    """The active party's gradient key pair, as it is made: to open what travels."""
    made: list[KeyPair] = []
    generate = KeyPair.generate

    def remember(columns: int) -> KeyPair:
        made.append(generate(columns))
        return made[-1]

    with monkeypatch.context() as patch:
        patch.setattr(KeyPair, "generate", remember)
        yield made
