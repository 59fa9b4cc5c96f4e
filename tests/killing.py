"""A process that dies between two steps of changing files, played inside the test's own process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class KilledError(BaseException):
    """Where the process died; nothing that comes after it changes a file any more."""


class Death:
    """Dies before the `number`th change of a file: a file that is opened for writing, a flush, a rename, a deletion.

    Args:
        monkeypatch: of the test.
        number: from 1; None never to die, and to count the changes.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int | None = None) -> None:
        self.number = number
        self.changes = 0
        self._is_dead = False
        monkeypatch.setattr(os, "open", self._watched(os.open, lambda path, flags, *_, **__: flags & os.O_WRONLY))
        for owner, name in ((os, "fsync"), (os, "replace"), (Path, "unlink")):
            monkeypatch.setattr(owner, name, self._watched(getattr(owner, name), lambda *_, **__: True))

    def _watched(self, original: Callable[..., Any], is_change: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            if is_change(*arguments, **named):
                self.step()
            return original(*arguments, **named)

        return watched

    def step(self) -> None:
        """One change, or another step that the test counts as one."""
        if self._is_dead:
            raise KilledError
        self.changes += 1
        if self.changes == self.number:
            self._is_dead = True
            raise KilledError


def changes_of(act: Callable[[], object]) -> int:
    """How many changes `act` makes."""
    with pytest.MonkeyPatch.context() as patch:
        death = Death(patch)
        act()
    return death.changes


def killed_at(number: int, act: Callable[[], object]) -> None:
    """Do `act` and die before its `number`th change."""
    with pytest.MonkeyPatch.context() as patch:
        Death(patch, number)
        with pytest.raises(KilledError):
            act()
