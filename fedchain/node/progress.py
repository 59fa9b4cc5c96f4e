"""What a node is doing, for whoever watches: a snapshot, and a stream of changes."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

_QUEUE_LENGTH = 4096
Line = dict[str, Any]
Listener = Callable[["Line | None"], None]


class ProgressBoard:
    """Keeps the newest line of each subject and passes every new line on to the watchers. Thread-safe.

    Lines are flat JSON objects with the key `event`: `node`, `job`, `stage`, `request` or `wait`. They hold nothing of
    rows.
    A watcher that does not keep up loses the oldest lines, never the newest.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest: dict[tuple[str, ...], Line] = {}
        self._watchers: list[queue.Queue[Line | None]] = []
        self._listeners: list[Listener] = []
        self._closed = False

    def post(self, event: str, **fields: Any) -> None:
        """Post a line; it replaces the earlier one of the same event, job, stage, request and wait in the snapshot."""
        line = {"event": event, **fields}
        with self._lock:
            self._newest[_subject(line)] = line
            self._pass_on(line)

    def retire(self, event: str, **fields: Any) -> None:
        """Post the last line of a subject; it is in the snapshot no more."""
        line = {"event": event, **fields}
        with self._lock:
            self._newest.pop(_subject(line), None)
            self._pass_on(line)

    def snapshot(self) -> list[Line]:
        """The newest line of each subject, oldest subject first."""
        with self._lock:
            return list(self._newest.values())

    def watch(self, *, follow: bool, job_id: str | None = None, poll_seconds: float = 0.5) -> Iterator[Line | None]:
        """The snapshot, then with `follow` each new line until the board is closed.

        Args:
            follow: go on after the snapshot.
            job_id: only lines of this job.
            poll_seconds: how often to yield None while nothing happens, so that a caller can look after itself.
        """
        watcher: queue.Queue[Line | None] = queue.Queue(_QUEUE_LENGTH)
        with self._lock:
            lines = list(self._newest.values())
            if follow and not self._closed:
                self._watchers.append(watcher)
            else:
                follow = False
        try:
            yield from (line for line in lines if _concerns(line, job_id))
            while follow:
                try:
                    line = watcher.get(timeout=poll_seconds)
                except queue.Empty:
                    yield None
                    continue
                if line is None:
                    return
                if _concerns(line, job_id):
                    yield line
        finally:
            with self._lock:
                if watcher in self._watchers:
                    self._watchers.remove(watcher)

    def close(self) -> None:
        """End all watches."""
        with self._lock:
            self._closed = True
            self._pass_on(None)

    def attach(self, listener: Listener) -> list[Line]:
        """The snapshot; `listener` is called with each later line, and with None when the board is closed, or now if it
        is. It is called in the thread of whoever posts, and must return at once.
        """
        with self._lock:
            if self._closed:
                listener(None)
            else:
                self._listeners.append(listener)
            return list(self._newest.values())

    def detach(self, listener: Listener) -> None:
        """Call it no more."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def dismiss(self) -> None:
        """Tell all listeners that nothing more comes; watchers go on."""
        with self._lock:
            for listener in self._listeners:
                listener(None)
            self._listeners.clear()

    def _pass_on(self, line: Line | None) -> None:
        for watcher in self._watchers:
            _offer(watcher, line)
        for listener in self._listeners:
            listener(line)


def to_json(line: Line) -> bytes:
    """One line of JSON, without the newline."""
    return json.dumps(line, separators=(",", ":"), default=str).encode()


def _subject(line: Line) -> tuple[str, ...]:
    return tuple(str(line.get(key, "")) for key in ("event", "job", "stage", "request", "wait"))


def _concerns(line: Line, job_id: str | None) -> bool:
    return job_id is None or line.get("job") in (None, job_id)


def _offer(watcher: queue.Queue[Line | None], line: Line | None) -> None:
    while True:
        try:
            watcher.put_nowait(line)
            return
        except queue.Full:
            try:
                watcher.get_nowait()
            except queue.Empty:
                continue
