"""Starts development chains as child processes that end with the process that started them."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import IO, Literal

from fedchain.chain.account import DEV_MNEMONIC
from fedchain.errors import ChainError, ConfigError

ChainKind = Literal["embedded", "anvil", "ganache"]
CHAIN_KINDS: tuple[ChainKind, ...] = ("embedded", "anvil", "ganache")
MAX_BLOCK_SECONDS = 60

_HOST = "127.0.0.1"
_BLOCK_GAS_LIMIT = 10**9
_KEPT_STATES = 64
_START_SECONDS = 60.0
_STOP_SECONDS = 5.0
_START_ATTEMPTS = 3
_LISTENING = re.compile(r"listening on (?:http://)?[\d.]+:(\d+)", re.IGNORECASE)
_EVERY_ADDRESS = "0.0.0.0"
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}")


class DevChain:
    """A running development chain; a context manager that stops it.

    Attributes:
        kind: `embedded`, `anvil` or `ganache`.
        rpc_url: its HTTP address, as seen from this machine.
        process: the child process.
    """

    def __init__(
        self, kind: ChainKind, host: str, port: int, process: subprocess.Popen[bytes], drain: threading.Thread
    ) -> None:
        self.kind = kind
        self.rpc_url = f"http://{_HOST if host == _EVERY_ADDRESS else host}:{port}"
        self.process = process
        self._drain = drain

    def stop(self) -> None:
        """End the chain and wait until it is gone; doing so twice is harmless."""
        _end(self.process)
        self._drain.join(_STOP_SECONDS)

    def __enter__(self) -> DevChain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_dev_chain(
    kind: ChainKind,
    *,
    host: str = _HOST,
    port: int = 0,
    log_path: Path | None = None,
    block_seconds: float = 0.0,
    state: Path | None = None,
) -> DevChain:
    """Start a chain and return once it answers. Accounts: `dev_accounts()`, funded, with publicly known keys.

    Args:
        kind: `embedded` needs nothing but Python; `anvil` and `ganache` are looked up in the nearest `node_modules`
            from the working folder upwards, then on PATH.
        host: IPv4 address to listen on; whoever reaches it can act as any development account.
        port: 0 takes a free one.
        log_path: file for the chain's output, appended to; None drops it.
        block_seconds: a block each so many seconds, as on a chain of validators; 0 mines every transaction at once.
        state: where the chain is kept from one start to the next, also when it is killed: a file of the embedded
            chain, a folder of Ganache; None keeps nothing.

    Raises:
        ConfigError: the tool is missing; the kind is unknown; the embedded chain has no block time, anvil no state
            that survives a kill; `host` is no IPv4 address.
        ChainError: it did not start; the message holds its last words.
    """
    if kind not in CHAIN_KINDS:
        raise ConfigError(f"chain kind '{kind}' is unknown; choose one of {', '.join(CHAIN_KINDS)}")
    if not 0 <= block_seconds <= MAX_BLOCK_SECONDS:
        raise ConfigError(f"a block time is 0 to {MAX_BLOCK_SECONDS} seconds, this one is {block_seconds:g}")
    if kind == "embedded" and block_seconds:
        raise ConfigError(
            "the embedded chain mines every transaction at once; for a block time, choose anvil or ganache"
        )
    if kind == "anvil" and state is not None:
        raise ConfigError(
            "anvil's state file is lost when anvil is killed while it writes; "
            "to keep a chain, choose the chain kind 'embedded' or 'ganache'"
        )
    if not _IPV4.fullmatch(host):
        raise ConfigError(f"host '{host}' is no IPv4 address; for every address of this machine give 0.0.0.0")
    flags = _Flags(host, block_seconds, state)
    for attempt in range(1, _START_ATTEMPTS + 1):
        # Ganache cannot choose a port: another process may take the free one before Ganache does.
        chosen = _free_port() if kind == "ganache" and port == 0 else port
        try:
            return _start(kind, chosen, log_path, flags)
        except _PortTakenError:
            if port != 0 or attempt == _START_ATTEMPTS:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


class _PortTakenError(ChainError):
    """Another process listens on the port."""


@dataclass(frozen=True)
class _Flags:
    """What all starts of a chain have in common."""

    host: str
    block_seconds: float
    state: Path | None


def _start(kind: ChainKind, port: int, log_path: Path | None, flags: _Flags) -> DevChain:
    process = subprocess.Popen(
        _command(kind, port, flags), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    found: Queue[int | None] = Queue()
    tail: deque[str] = deque(maxlen=20)
    drain = threading.Thread(
        target=_drain, args=(process.stdout, found, tail, log_path), name=f"{kind}-output", daemon=True
    )
    drain.start()
    try:
        listening_port = found.get(timeout=_START_SECONDS)
    except Empty:
        listening_port = None
    except BaseException:
        _end(process)
        raise
    if listening_port is None:
        _end(process)
        drain.join(_STOP_SECONDS)
        words = " | ".join(line.strip() for line in tail if line.strip())[-600:] or "no output"
        is_taken = "in use" in words.lower() or "eaddrinuse" in words.lower()
        error = _PortTakenError if is_taken else ChainError
        raise error(f"the {kind} chain did not start on port {port}: {words}")
    return DevChain(kind, flags.host, listening_port, process, drain)


def _drain(output: IO[bytes], found: Queue[int | None], tail: deque[str], log_path: Path | None) -> None:
    """Read the chain's output to its end, so that it never waits for a reader."""
    is_listening = False
    with contextlib.ExitStack() as stack:
        stack.enter_context(output)
        log = stack.enter_context(log_path.open("ab")) if log_path is not None else None
        for line in output:
            if log is not None:
                log.write(line)
                log.flush()
            if not is_listening:
                text = line.decode("utf-8", "replace")
                tail.append(text)
                match = _LISTENING.search(text)
                if match:
                    is_listening = True
                    found.put(int(match[1]))
    found.put(None)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    if process.poll() is None:
        with contextlib.suppress(OSError):
            process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _command(kind: ChainKind, port: int, common: _Flags) -> list[str]:
    host, state = common.host, common.state
    if kind == "embedded":
        module = "fedchain.chain.embedded"
        flags = ["--host", host, "--port", str(port), "--until-stdin-closes"]
        return [sys.executable, "-m", module, *flags, *([] if state is None else ["--state", str(state)])]
    flags = _anvil_flags(host, port) if kind == "anvil" else _ganache_flags(host, port)
    if state is not None:
        flags += ["--database.dbPath", str(state)]
    if common.block_seconds:
        flags += ["--block-time" if kind == "anvil" else "--miner.blockTime", f"{common.block_seconds:g}"]
    supervisor = str(Path(__file__).with_name("supervise.py"))
    return [sys.executable, "-I", "-S", supervisor, *find_tool(kind), *flags]


def _anvil_flags(host: str, port: int) -> list[str]:
    return [
        *("--host", host, "--port", str(port), "--mnemonic", DEV_MNEMONIC, "--accounts", "10"),
        *("--hardfork", "shanghai", "--gas-limit", str(_BLOCK_GAS_LIMIT), "--no-request-size-limit"),
        *("--prune-history", str(_KEPT_STATES), "--base-fee", "0", "--gas-price", "0"),
    ]  # fmt: skip


def _ganache_flags(host: str, port: int) -> list[str]:
    return [
        *("--server.host", host, "--server.port", str(port), "--wallet.mnemonic", DEV_MNEMONIC),
        *("--wallet.totalAccounts", "10", "--chain.hardfork", "shanghai", "--miner.instamine", "strict"),
        *("--miner.blockGasLimit", str(_BLOCK_GAS_LIMIT), "--miner.callGasLimit", str(_BLOCK_GAS_LIMIT)),
    ]  # fmt: skip


def find_tool(kind: Literal["anvil", "ganache"]) -> list[str]:
    """The command that starts a tool, without its flags.

    Raises:
        ConfigError: it is installed neither in a `node_modules` folder from here upwards nor on PATH.
    """
    for folder in (Path.cwd(), *Path.cwd().parents):
        modules = folder / "node_modules"
        if kind == "anvil":
            for binary in sorted(modules.glob("@foundry-rs/anvil-*/bin/anvil")):
                return [str(binary)]  # the platform's binary itself: npm's wrapper would leave it running when killed
        else:
            script = modules / "ganache" / "dist" / "node" / "cli.js"
            node = shutil.which("node")
            if script.is_file() and node:
                return [node, str(script)]
    on_path = shutil.which(kind)
    if on_path is None:
        raise ConfigError(f"{kind} is not installed here; run `make tools`, or choose the chain kind 'embedded'")
    return [on_path]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
