"""Puts waits that last on the progress board, and looks at their deadlines while nobody else does."""

from __future__ import annotations

import threading

from fedchain.exchange.waits import Wait, Waits
from fedchain.node.progress import ProgressBoard

POLL_SECONDS = 0.25
SHOWN_AFTER_SECONDS = 0.5
"""Shorter waits are the rhythm of a job, not news."""


class WaitBoard:
    """A thread from construction to `close`.

    A wait that lasts is a status line of event `wait`; there is a new one when who, what or its standing changes, and a
    last one with status `over`.

    Args:
        waits: the node's register.
        board: where lines go.
        party: this node's name.
    """

    def __init__(self, waits: Waits, board: ProgressBoard, party: str) -> None:
        self._waits = waits
        self._board = board
        self._party = party
        self._shown: dict[int, tuple[Wait, tuple[object, ...]]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wait-board", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; what is shown is over."""
        self._stop.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._stop.wait(POLL_SECONDS):
            self._show(self._waits.current())
        self._show([])

    def _show(self, current: list[Wait]) -> None:
        for wait in current:
            self._waits.look(wait)
            state = (wait.who, wait.what, wait.standing)
            if wait.seconds() >= SHOWN_AFTER_SECONDS and self._shown.get(wait.number, (wait, ()))[1] != state:
                self._shown[wait.number] = (wait, state)
                self._board.post("wait", party=self._party, **self._waits.line(wait))
        for number in set(self._shown) - {wait.number for wait in current}:
            wait, _ = self._shown.pop(number)
            self._board.retire("wait", party=self._party, **(self._waits.line(wait) | {"status": "over"}))
