"""The same bytecode runs on anvil (at fork shanghai) and on ganache, each a child process on a free port."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from web3 import HTTPProvider, Web3

from tests.contracts.consortium import ROOT, Consortium, envelope

MNEMONIC = "test test test test test test test test test test test junk"
START_SECONDS = 20


def _command(chain: str, port: int) -> list[str]:
    """The command line that starts `chain`; skips the test when it is not installed."""
    modules = ROOT / "node_modules"
    if chain == "anvil":
        found = sorted((modules / "@foundry-rs").glob("anvil-*/bin/anvil"))
        if not found:
            pytest.skip("anvil is not installed: run 'npm ci'")
        options = ["--hardfork", "shanghai", "--mnemonic", MNEMONIC, "--prune-history", "--no-request-size-limit"]
        return [str(found[0]), "--port", str(port), "--gas-limit", "100000000", *options]
    node, script = shutil.which("node"), modules / "ganache" / "dist" / "node" / "cli.js"
    if node is None or not script.is_file():
        pytest.skip("ganache is not installed: run 'npm ci'")
    options = ["--chain.hardfork", "shanghai", "--wallet.mnemonic", MNEMONIC, "--miner.blockGasLimit", "0x5f5e100"]
    return [node, str(script), "--server.host", "127.0.0.1", "--server.port", str(port), *options]


@pytest.fixture(params=["anvil", "ganache"])
def chain(request: pytest.FixtureRequest) -> Iterator[Web3]:
    """A fresh development chain, ended with the test."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = _command(request.param, port)
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    provider = HTTPProvider(f"http://127.0.0.1:{port}")
    w3 = Web3(provider)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not w3.is_connected():
            assert child.poll() is None, f"{request.param} ended with code {child.returncode}"
            assert time.monotonic() < deadline, f"{request.param} did not answer within {START_SECONDS} s"
            time.sleep(0.05)
        yield w3
    finally:
        provider._request_session_manager.session_cache.clear()
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def test_contracts_deploy_and_judge_uplinks(chain: Web3) -> None:
    consortium = Consortium(chain)
    sound = envelope(consortium.in_round_one(), 1, "histogram")
    assert consortium.submit(consortium.passive, sound)[1] == "Accepted"
    assert consortium.submit(consortium.active, sound)[1] == "KindNotAllowed"
    payload = bytes(98_304)
    large = envelope(sound.jobId, 1, "gradients", payload)
    assert consortium.submit(consortium.active, large, payload, gas=10_000_000)[1] == "Accepted"
    assert consortium.ledger.functions.countsOf(sound.jobId).call() == [2, 1]
