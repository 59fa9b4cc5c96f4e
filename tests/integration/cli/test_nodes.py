"""A whole job by hand: `chain start`, `node init`, `node run`, `job submit`, `watch`, `predict`, `contributions`."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import ChainClient
from fedchain.errors import ChainUnreachableError
from fedchain.types import JobId

from .conftest import Invoke, Net, assert_one_line

FEDCHAIN = (sys.executable, "-m", "fedchain.cli.main")
JOB = """\
name = "by-hand"
[algorithm]
mode = "standard"
trees = 2
depth = 2
bins = 8
[alignment]
min_rows = 20
[policy]
deadline_seconds = 60.0
[contribution]
audit = true
opened_rows = 10
window_seconds = 30
budget = 100
[[parties]]
name = "shop"
role = "active"
label = "churned"
[[parties]]
name = "bank"
role = "passive"
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts commands as processes that end with the test, at the latest."""
    with contextlib.ExitStack() as stack:

        def run(*arguments: object) -> subprocess.Popen[str]:
            log = stack.enter_context((tmp_path / f"{len(os.listdir(tmp_path))}.err").open("w"))
            process = subprocess.Popen(
                [*FEDCHAIN, *map(str, arguments)], stdout=subprocess.PIPE, stderr=log, text=True, cwd=tmp_path
            )
            stack.callback(_end, process)
            return process

        yield run


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert process.stdout is not None
    process.stdout.close()


def first_object(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The JSON object that a running command prints when it is ready."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        with contextlib.suppress(ValueError):
            found: dict[str, Any] = json.loads(text)
            return found
    raise AssertionError(f"ended with {process.wait()} before it was ready: {text!r}")


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A job in the background of a script ignores Ctrl-C, and so would the processes that it starts."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_a_started_chain_ends_with_its_command(start: Start, number: signal.Signals, code: int) -> None:
    process = start("chain", "start", "--port", 0, "--json")
    ready = first_object(process)
    with ChainClient(ready["rpc_url"]) as client:
        assert client.chain_id == ready["chain_id"]
    process.send_signal(number)
    assert process.wait(20) == code
    with pytest.raises(ChainUnreachableError):
        ChainClient(ready["rpc_url"])


def test_a_taken_port_is_one_line(invoke: Invoke, net: Net) -> None:
    result = invoke("chain", "start", "--port", net.rpc_url.rpartition(":")[2])
    assert_one_line(result, 4, "did not start on port", "in use")


def write_tables(folder: Path) -> None:
    rows = range(120)
    shop = [f"c{row},{row % 7},{'yes' if row % 5 < 2 else 'no'}" for row in rows]
    bank = [f"c{row},{row % 5},{row % 3}" for row in reversed(rows) if row % 10]
    (folder / "shop.csv").write_text("\n".join(["id,calls,churned", *shop]) + "\n")
    (folder / "bank.csv").write_text("\n".join(["id,loans,cards", *bank]) + "\n")
    (folder / "job.toml").write_text(JOB)


def test_a_whole_job_by_hand_gives_the_simulation_s_model(
    invoke: Invoke, start: Start, net: Net, tmp_path: Path
) -> None:
    write_tables(tmp_path)
    nodes = {}
    for name in ("shop", "bank"):
        made = invoke("node", "init", tmp_path / name, "--name", name, "--data", tmp_path / f"{name}.csv", "--json")
        assert made.exit_code == 0, made.output
        nodes[name] = start("node", "run", tmp_path / name, "--json")
        address = json.loads(made.stdout)["address"]
        wait_until(lambda name=name: net.consortium(0).address_of(name) is not None)  # type: ignore[misc]
        assert invoke("steward", "accredit", address).exit_code == 0
        assert first_object(nodes[name])["address"] == address

    submitted = invoke("job", "submit", tmp_path / "job.toml", "--node", tmp_path / "shop")
    assert submitted.exit_code == 0, submitted.output
    job_id = submitted.stdout.strip()
    watched = invoke("job", "watch", job_id, "--node", tmp_path / "shop", "--timeout", 120, "--json")
    assert watched.exit_code == 0, watched.output
    state = json.loads(watched.stdout)
    assert (state["phase"], state["trees_done"], state["aligned_rows"]) == ("completed", 2, 108)
    assert all(one["accepted"] and one["aligned"] and one["stopped"] for one in state["parties"])

    simulated = json.loads(invoke("simulate", tmp_path / "job.toml", "--data", tmp_path, "--json").stdout)
    assert state["model_digest"] == simulated["model_digest"]
    contributions = json.loads(invoke("contributions", job_id, "--json").stdout)
    assert contributions["contributions_e6"] == simulated["contributions_e6"]
    assert contributions["contributions"] == simulated["contributions"]
    gain = contributions["utility_full_e6"] - contributions["utility_empty_e6"]
    assert sum(contributions["contributions_e6"].values()) == gain > 0
    assert "bank" in invoke("contributions", job_id).stdout
    assert contributions["measured"]["split_gain_e6"] == simulated["split_gain_e6"]
    assert contributions["audit"]["outcome"] == simulated["audit"] == "verified"
    wait_until(
        lambda: net.consortium(0).settlements.settlement(JobId(job_id)) is not None
    )  # the node does it by itself
    for name in nodes:
        verified = invoke("contributions", job_id, "--verify", "--state", tmp_path / name / "state", "--json")
        assert verified.exit_code == 0, verified.output
        document = json.loads(verified.stdout)
        assert document["verification"]["holds"]
        assert document["verification"]["checks"]["opening"]["checked"] >= 2
        assert sum(line["points"] for line in document["settlement"]["lines"]) == 100
    assert "recomputed" in invoke("contributions", job_id, "--verify").stdout
    (tmp_path / "bank" / "state" / "jobs" / job_id / "audit").write_bytes(b"\x00")
    damaged = invoke("contributions", job_id, "--verify", "--state", tmp_path / "bank" / "state")
    assert_one_line(damaged, 1, "cannot be read")

    states = [str(one) for name in nodes for one in ("--state", tmp_path / name / "state")]
    audited = invoke("audit", job_id, *states, "--json")
    assert audited.exit_code == 0, audited.output
    report = json.loads(audited.stdout)
    assert (report["verdict"], report["model_digest"]) == ("sound", simulated["model_digest"])
    assert [one["verdict"] for one in report["parties"]] == ["sound", "sound"]
    assert report["checks"]["saved outcomes"] == {"checked": 6, "failed": 0, "unreachable": 0}

    out = tmp_path / "scores.csv"
    predicted = invoke("predict", job_id, "--node", tmp_path / "shop", "--out", out, "--json")
    assert predicted.exit_code == 0, predicted.output
    assert json.loads(predicted.stdout)["rows"] == simulated["heldout_rows"]
    scores = {row["position"]: row["score"] for row in csv.DictReader(out.read_text().splitlines())}
    assert len(scores) == simulated["heldout_rows"]
    asked = ",".join(list(scores)[:3])
    by_position = invoke("predict", job_id, "--node", tmp_path / "bank", "--rows", asked).stdout.splitlines()
    assert by_position == ["position,score", *(f"{one},{scores[one]}" for one in asked.split(","))]

    assert_one_line(invoke("predict", job_id, "--node", tmp_path / "shop", "--rows", "108"), 2, "0 to 107")
    assert_one_line(invoke("predict", "0x" + "00" * 32, "--node", tmp_path / "shop"), 2, "unknown to this node")
    stranger = tmp_path / "stranger.toml"
    stranger.write_text(JOB.replace('name = "bank"', 'name = "nobody"'))
    assert_one_line(invoke("job", "submit", stranger, "--node", tmp_path / "shop"), 2, "'nobody' is not registered")
    for process in nodes.values():
        process.terminate()
        assert process.wait(20) == 0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_node_that_is_not_accredited_says_so_in_one_line(invoke: Invoke, tmp_path: Path) -> None:
    write_tables(tmp_path)
    assert invoke("node", "init", tmp_path / "n", "--name", "shy", "--data", tmp_path / "bank.csv").exit_code == 0
    arguments = [*FEDCHAIN, "--log-level", "error", "node", "run", str(tmp_path / "n"), "--no-wait"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=60)
    assert done.stderr.startswith("error: party 'shy' (0x")
    assert "is not accredited yet; ask a steward" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (done.stdout, done.returncode) == ("", 4)


def test_a_typo_in_node_toml_is_one_line(invoke: Invoke, tmp_path: Path) -> None:
    write_tables(tmp_path)
    assert invoke("node", "init", tmp_path / "n", "--name", "typo", "--data", tmp_path / "bank.csv").exit_code == 0
    config = tmp_path / "n" / "node.toml"
    config.write_text(config.read_text().replace("[serve]", "[server]"))
    for command in (("node", "run", tmp_path / "n"), ("predict", "0x" + "00" * 32, "--node", tmp_path / "n")):
        assert_one_line(invoke(*command), 2, "node.toml", "unknown key 'server'")


def test_without_a_running_node_submit_and_predict_say_how_to_start_it(invoke: Invoke, tmp_path: Path) -> None:
    write_tables(tmp_path)
    job = tmp_path / "job.toml"
    assert invoke("node", "init", tmp_path / "n", "--name", "asleep", "--data", tmp_path / "bank.csv").exit_code == 0
    for command in (("job", "submit", job), ("predict", "0x" + "00" * 32)):
        assert_one_line(invoke(*command, "--node", tmp_path / "n"), 2, "no node answers", "fedchain node run")
        assert_one_line(invoke(*command, "--node", tmp_path), 2, "node.toml: no such file", "fedchain node init")
    job.write_text(JOB.replace("depth", "dept"))
    assert_one_line(invoke("job", "submit", job, "--node", tmp_path / "n"), 2, "unknown key 'algorithm.dept'")


def test_an_existing_node_is_not_overwritten(invoke: Invoke, tmp_path: Path) -> None:
    arguments = ("node", "init", tmp_path / "n", "--name", "twice", "--data", tmp_path / "x.csv")
    assert invoke(*arguments).exit_code == 0
    key = (tmp_path / "n" / "keystore.json").read_bytes()
    assert_one_line(invoke(*arguments), 2, "exists already")
    assert (tmp_path / "n" / "keystore.json").read_bytes() == key
