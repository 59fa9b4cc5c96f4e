"""A node that tells what it is about to do, and kills itself where it is told to: `python -m tests.recovery.entry`.

Nothing in the product knows of this: the functions through which a node acts and waits are wrapped here, from outside.
Each wrapped place is a *point*: a line of who does what, `active training before Send GRADIENTS`. Points are written
to a log; the file `arm` names the one at which this process ends with SIGKILL.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedchain.chain import ChainClient, Consortium
from fedchain.chain.sender import Sender
from fedchain.chain.watcher import Watcher
from fedchain.exchange import Inbox, JobChannel
from fedchain.exchange.client import PayloadClient
from fedchain.exchange.closing import Closing
from fedchain.exchange.outbox import NodeOutbox
from fedchain.exchange.partial import PartialPayload
from fedchain.exchange.pipeline import PipelinedChannel
from fedchain.exchange.publisher import Publisher
from fedchain.exchange.state import NodeState
from fedchain.exchange.store import PayloadStore
from fedchain.exchange.subscriber import Subscriber
from fedchain.messages import Gradients
from fedchain.model.shard import Shard
from fedchain.node import driver, requests
from fedchain.node.config import load_config
from fedchain.node.jobfiles import JobFiles
from fedchain.node.jobs import Jobs
from fedchain.node.journal import Journal
from fedchain.node.requests import Requests
from fedchain.node.running import run_node
from fedchain.node.runtime import Node
from fedchain.node.settling import Settler
from fedchain.protocol.actions import DeclareStop, Party, Send, Stage

ROLE = os.environ.get("RECOVERY_ROLE", "active")
FOLDER = Path(os.environ.get("RECOVERY_FOLDER", "."))
LOG, ARM, FIRED, CIPHERTEXTS = (FOLDER / name for name in ("points", "arm", "fired", "ciphertexts"))

_here = threading.local()
_lock = threading.Lock()
_counts: dict[str, int] = {}
_log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if "RECOVERY_FOLDER" in os.environ else -1


def reach(what: str, when: str) -> None:
    """This process has reached a point: write it down, and end here if it is the armed one."""
    phase = getattr(_here, "phase", "node")
    point = f"{'any' if phase == 'starting' else ROLE} {phase} {when} {what}"
    with _lock:
        os.write(_log, f"{point}\n".encode())
        try:
            raw = ARM.read_text()
        except FileNotFoundError:
            return
        armed = json.loads(raw)
        if armed["point"] != point:
            return
        _counts[raw] = _counts.get(raw, 0) + 1
        if _counts[raw] >= armed["number"]:
            ARM.replace(FIRED)
            os.write(_log, b"KILLED\n")
            os.kill(os.getpid(), signal.SIGKILL)


def watch(owner: Any, name: str, what: Callable[..., str | None], *, before: bool = True, after: bool = True) -> None:
    """Make a function of a class a point; `what` names it from its arguments, None for calls that are none."""
    original = getattr(owner, name)

    def watched(*arguments: Any, **named: Any) -> Any:
        told = what(*arguments, **named)
        if told is not None and before:
            reach(told, "before")
        result = original(*arguments, **named)
        if told is not None and after:
            reach(told, "after")
        return result

    setattr(owner, name, watched)


def within(owner: Any, name: str, key: str, value: Callable[..., str]) -> None:
    """Points inside of a function are told apart by what it is called with."""
    original = getattr(owner, name)

    def inside(*arguments: Any, **named: Any) -> Any:
        earlier = getattr(_here, key, None)
        setattr(_here, key, value(*arguments, **named))
        try:
            return original(*arguments, **named)
        finally:
            setattr(_here, key, earlier) if earlier is not None else delattr(_here, key)

    setattr(owner, name, inside)


# -- actions -------------------------------------------------------------------------------------------------


def name_of(action: Any) -> str:
    """An action in words: its type, and the kind of its message, its own name, or the stage that it waits for."""
    words = [type(action).__name__]
    message = getattr(action, "message", None) or getattr(action, "message_type", None)
    if message is not None:
        words.append(message.kind.name)
    for detail in ("name", "stage"):
        if isinstance(getattr(action, detail, None), str):
            words.append(getattr(action, detail))
    return " ".join(words)


def observed(party: Party[Any], channel: JobChannel) -> Party[Any]:
    """The party's generator; each action is a point before and after it is carried out."""
    answer: Any = None
    stopped = False
    try:
        while True:
            try:
                action = party.send(answer)
            except StopIteration as stop:
                return stop.value
            if isinstance(action, Stage):
                answer = yield action
                continue
            _here.phase = "training" if isinstance(action, DeclareStop) else _phase(channel, stopped)
            if isinstance(action, Send) and isinstance(action.message, Gradients):
                with CIPHERTEXTS.open("ab") as file:
                    file.write(action.message.ciphertexts)
            what = name_of(action)
            reach(what, "before")
            answer = yield action
            reach(what, "after")
            stopped = stopped or isinstance(action, DeclareStop)
    finally:
        party.close()


def _phase(channel: JobChannel, stopped: bool) -> str:
    if channel.request_id is not None:
        return "asking" if channel.requester == channel.me else "answering"
    if stopped:
        return "evaluation"
    return "training" if channel.round else "alignment"


def _observe(module: Any) -> None:
    original = module.run_party

    def run_party(party: Party[Any], channel: JobChannel, *arguments: Any, **named: Any) -> Any:
        _here.phase = _phase(channel, stopped=False)
        return original(observed(party, channel), channel, *arguments, **named)

    module.run_party = run_party


# -- steps between an action and the chain -------------------------------------------------------------------


def _sent(*_: object, **__: object) -> str:
    return getattr(_here, "doing", "transaction")


def _stored(*_: object, **__: object) -> str:
    return f"storing the payload of {_here.doing}"


def install() -> None:
    """Wrap everything."""
    _observe(driver)
    _observe(requests)
    for name in ("publish", "prepare"):
        within(Publisher, name, "doing", lambda self, message, **_: message.kind.name)
    original = Sender.transact

    def transact(self: Sender, call: Any, *arguments: Any, **named: Any) -> Any:
        if hasattr(_here, "doing"):
            return original(self, call, *arguments, **named)
        _here.doing = call.what
        try:
            return original(self, call, *arguments, **named)
        finally:
            del _here.doing

    Sender.transact = transact  # type: ignore[method-assign]
    watch(PayloadStore, "put", _stored)
    watch(NodeState, "prepare", lambda self, uplink: f"recording {uplink.kind.name}", before=False)
    watch(NodeOutbox, "put", lambda *_: f"entering {_sent()} into the outbox", before=False)
    watch(ChainClient, "send_raw", lambda *_: f"sending {_sent()}", before=False)
    watch(Watcher, "wait", lambda *_: f"waiting until {_sent()} is mined", before=False)
    watch(NodeState, "settle", lambda self, uplink, *_: f"settling {uplink.kind.name}", before=False)
    # payloads by reference, and uplinks of pipelined rounds
    watch(PayloadClient, "fetch", lambda *_, **__: "fetching a payload")
    watch(PartialPayload, "add", lambda *_: "a part of a payload", before=False)
    watch(PayloadClient, "deliver", lambda *_, **__: "delivering an uplink")
    watch(NodeState, "remember_delivery", lambda *_: "recording a delivery")
    watch(Inbox, "deliver_directly", lambda *_: "taking a delivery")
    watch(PipelinedChannel, "_begin", lambda *_: "beginning a round")
    within(PipelinedChannel, "_close", "phase", lambda *_, **__: "training")  # in a thread of its own
    watch(Closing, "wait", lambda *_: "waiting until a round is closed")
    watch(Publisher, "commit", lambda *_, **__: "committing a round")
    watch(Inbox, "wait_committed", lambda *_, **__: "waiting for the verdicts of a round")
    # a job
    watch(NodeState, "remember_job", lambda *_: "recording a job")
    watch(NodeState, "set_job_status", lambda self, job, status, error="": f"recording a {status} job")
    watch(JobChannel, "accept", lambda *_: "accepting")
    watch(JobChannel, "wait_phase", lambda self, phase: f"waiting for {phase.name}")
    watch(Shard, "save", lambda *_: "writing the shard", before=False)
    watch(JobFiles, "save", lambda *_: "writing the outcome")
    watch(Journal, "forget", lambda *_: "forgetting the journal")
    watch(Settler, "owe", lambda *_: "noting that a settlement may be owed")
    within(Settler, "settle", "phase", lambda *_: "settling")  # by the job's thread or one of its own
    # starting, and reading the chain
    within(Node, "start", "phase", lambda *_, **__: "starting")
    watch(NodeState, "advance", lambda self, cursor, events: "moving the cursor" if events else None)
    watch(Subscriber, "_replay", lambda *_: "replaying")
    watch(Jobs, "resume", lambda *_: "going on with jobs")
    watch(Requests, "resume", lambda *_: "going on with requests")
    watch(Sender, "resume", lambda *_: "emptying the outbox")
    # requests
    within(Requests, "predict", "phase", lambda *_: "asking")
    within(Requests, "_answer", "phase", lambda *_: "answering")
    watch(Consortium, "open_request", lambda *_: "opening a request")
    watch(NodeState, "remember_request", lambda *_: "recording a request")
    watch(NodeState, "set_request_status", lambda self, job, request, status: f"recording a {status} request")
    watch(JobChannel, "finish_request", lambda *_: "closing the request")


def main() -> None:
    """Run the node of the given `node.toml` with the given control socket until standard input closes."""
    config = load_config(Path(sys.argv[1]))
    serve = config.serve.model_copy(update={"control_socket": Path(sys.argv[2])})
    install()
    run_node(config.model_copy(update={"serve": serve}), threading.Event(), until_stdin_closes=True)


if __name__ == "__main__":
    main()
