"""The driver of an alignment benchmark's party: its generator over local sockets, and a journal as a node has it."""

from __future__ import annotations

import queue
import socket
import struct
import threading
from collections.abc import Mapping
from typing import TypeVar

from fedchain.errors import DeadlineError, FedchainError
from fedchain.messages import Message, decode, encode
from fedchain.node.journal import Journal
from fedchain.protocol import (
    Checkpoint,
    DeclareAligned,
    Gather,
    Party,
    Recall,
    Receive,
    Remember,
    Send,
    Stage,
)
from fedchain.types import PartyId

T = TypeVar("T")

UNSENT = 4
"""Messages that wait for one peer before a party waits itself: so no party runs ahead of the others."""

WAIT_SECONDS = 3600.0
_HEAD = struct.Struct("<IBI")  # step, whether for all, bytes
_Slot = tuple[PartyId, int, bool]


class Link:
    """The connections of a party to all others, each with a thread that reads and one that writes.

    Attributes:
        sent_bytes: of messages so far; what goes to several peers counts once, as on a chain.
    """

    def __init__(self, peers: Mapping[PartyId, socket.socket]) -> None:
        self.sent_bytes = 0
        self._messages: dict[_Slot, bytes] = {}
        self._arrived = threading.Condition()
        self._ended: list[PartyId] = []
        self._unsent: dict[PartyId, queue.Queue[tuple[bytes, bytes] | None]] = {}
        self._writers = []
        for name, connection in peers.items():
            unsent: queue.Queue[tuple[bytes, bytes] | None] = queue.Queue(UNSENT)
            self._unsent[name] = unsent
            writer = threading.Thread(target=self._write, args=(connection, unsent), daemon=True)
            self._writers.append(writer)
            threading.Thread(target=self._read, args=(name, connection), daemon=True).start()
            writer.start()

    def send(self, message: Message, step: int, recipient: PartyId | None) -> None:
        """To one peer or to all; waits while the peer lags behind."""
        payload = encode(message)
        head = _HEAD.pack(step, recipient is None, len(payload))
        self.sent_bytes += len(head) + len(payload)
        for name in self._unsent if recipient is None else (recipient,):
            self._unsent[name].put((head, payload), timeout=WAIT_SECONDS)

    def take(self, step: int, sender: PartyId, *, to_me: bool) -> bytes:
        """Wait for a message; it is kept no more.

        Raises:
            DeadlineError: it did not come in time.
            FedchainError: the sender's process has ended.
        """
        slot = (sender, step, not to_me)
        with self._arrived:
            if not self._arrived.wait_for(lambda: slot in self._messages or sender in self._ended, WAIT_SECONDS):
                raise DeadlineError(f"party '{sender}' sent nothing in step {step}")
            if slot not in self._messages:
                raise FedchainError(f"party '{sender}' ended before step {step}")
            return self._messages.pop(slot)

    def close(self) -> None:
        """Wait until all is written."""
        for unsent in self._unsent.values():
            unsent.put(None)
        for writer in self._writers:
            writer.join()

    def _write(self, connection: socket.socket, unsent: queue.Queue[tuple[bytes, bytes] | None]) -> None:
        while (item := unsent.get()) is not None:
            head, payload = item
            connection.sendall(head)
            connection.sendall(payload)

    def _read(self, name: PartyId, connection: socket.socket) -> None:
        with connection.makefile("rb") as stream:
            while head := stream.read(_HEAD.size):
                step, is_for_all, size = _HEAD.unpack(head)
                payload = stream.read(size)
                with self._arrived:
                    self._messages[name, step, bool(is_for_all)] = payload
                    self._arrived.notify_all()
        with self._arrived:
            self._ended.append(name)
            self._arrived.notify_all()


def run_party(party: Party[T], link: Link, journal: Journal) -> T:
    """Carry out a generator's actions until it ends."""
    answer: object = None
    while True:
        try:
            action = party.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        answer = None
        if isinstance(action, Send):
            link.send(action.message, action.step, action.recipient)
        elif isinstance(action, Receive):
            payload = link.take(action.step, action.sender, to_me=action.to_me)
            answer = decode(payload, action.message_type)
        elif isinstance(action, Gather):
            answer = {
                one: decode(link.take(action.step, one, to_me=action.to_me), action.message_type)
                for one in action.senders
            }
        elif isinstance(action, Remember):
            answer = journal.remember(action.name, action.make)
        elif isinstance(action, Recall):
            answer = journal.recall(action.name)
        elif isinstance(action, Checkpoint):
            journal.checkpoint(action.name, action.state, action.round)
        elif not isinstance(action, (Stage, DeclareAligned)):
            raise TypeError(f"an alignment yielded {type(action).__name__}")
