"""Parties that break the protocol: real parties whose messages, or declarations, are changed on the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from fedchain.messages import Message
from fedchain.protocol import Action, Party, Send
from fedchain.simulation.channel import Slot, Tap
from fedchain.types import Kind

T = TypeVar("T")
M = TypeVar("M", bound=Message)


def rewriting(party: Party[T], change: Callable[[Action], Action]) -> Party[T]:
    """The party, with every action it yields put through `change`."""
    answer: Any = None
    while True:
        try:
            action = party.send(answer)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        answer = yield change(action)


def changing(party: Party[T], message_type: type[M], change: Callable[[M], Message], *, after: int = 0) -> Party[T]:
    """The party, sending `change(message)` in place of each message of this type, from number `after` on."""
    seen = 0

    def apply(action: Action) -> Action:
        nonlocal seen
        if isinstance(action, Send) and isinstance(action.message, message_type):
            seen += 1
            if seen > after:
                return replace(action, message=change(action.message))
        return action

    return rewriting(party, apply)


def tapping(kind: Kind, change: Callable[[bytes], bytes | None], *, sender: str | None = None, after: int = 0) -> Tap:
    """A tap that changes (or, with None, rejects) payloads of this kind, of this sender, from number `after` on."""
    seen = 0

    def tap(slot: Slot, payload: bytes) -> bytes | None:
        nonlocal seen
        if slot.kind is not kind or (sender is not None and slot.sender != sender):
            return payload
        seen += 1
        return change(payload) if seen > after else payload

    return tap


class Recorder:
    """A tap that lets everything pass and remembers it."""

    def __init__(self, then: Tap | None = None) -> None:
        self.seen: list[tuple[Slot, bytes]] = []
        self._then = then

    def __call__(self, slot: Slot, payload: bytes) -> bytes | None:
        self.seen.append((slot, payload))
        return payload if self._then is None else self._then(slot, payload)

    def of(self, kind: Kind) -> list[tuple[Slot, bytes]]:
        """What was sent of one kind, in order."""
        return [(slot, payload) for slot, payload in self.seen if slot.kind is kind]
