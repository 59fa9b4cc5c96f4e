"""`fedchain fault` against an embedded chain: what is shown, proven, voted on and overturned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import Consortium
from fedchain.exchange.records import Delivery
from fedchain.exchange.state import NodeState
from fedchain.messages import Envelope
from fedchain.types import JobId, Kind

from .conftest import Invoke, Net, assert_one_line

PAYLOAD_DIGEST = bytes.fromhex("609f6e36d2405585188d5cfd761f407c7cc46a7d3f314c88270469dde315fcd1")  # of abc


def uplink(job: JobId, **changes: Any) -> Envelope:
    sound = Envelope(bytes.fromhex(job[2:]), 0, 0, 0, Kind.PUBLIC_KEY, bytes(20), PAYLOAD_DIGEST, 3)
    return replace(sound, **changes)


def reject(consortium: Consortium, job: JobId, step: int) -> None:
    """A gradient before its time: a fault, and a strike."""
    consortium.submit(uplink(job, kind=Kind.GRADIENTS, step=step), b"abc")


def listed(invoke: Invoke, *options: object) -> list[dict[str, Any]]:
    result = invoke("fault", "list", "--json", *options)
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["faults"]
    return found


@pytest.fixture
def job(net: Net) -> JobId:
    return net.propose()


def test_faults_are_listed_shown_and_overturned(invoke: Invoke, net: Net, job: JobId) -> None:
    reject(net.consortium(1), job, 1)
    (fault,) = listed(invoke, "--job", job)
    expected = {"party": "alpha", "job": job, "reason": "WRONG_PHASE", "answer": "strike", "overturned": False}
    assert {name: fault[name] for name in expected} == expected
    number = fault["number"]
    assert fault in listed(invoke, "--party", "alpha")
    assert fault not in listed(invoke, "--party", "beta")
    assert json.loads(invoke("fault", "show", number, "--json").stdout) == fault
    table = invoke("fault", "list", "--job", job).stdout
    assert all(word in table for word in ("1 faults", "alpha", "WRONG_PHASE", "strike"))

    overturned = invoke("fault", "overturn", number, "--reason", "a defect of 1.0", "--dev-account", 0)
    assert overturned.exit_code == 0, overturned.output
    assert overturned.stdout == (
        f"fault {number} of alpha: strike, overturned; 1 of 1 votes to overturn it for this reason\n"
    )
    assert json.loads(invoke("fault", "show", number, "--json").stdout) == {**fault, "overturned": True}
    assert "strike, overturned" in invoke("fault", "show", number).stdout
    assert net.consortium(1).participant(fault["address"]).strikes == 0
    again = invoke("fault", "overturn", number, "--reason", "a defect of 1.0", "--dev-account", 0)
    assert_one_line(again, 2, f"fault {number} was overturned already")


def test_whoever_is_no_steward_overturns_nothing(invoke: Invoke, net: Net, job: JobId) -> None:
    reject(net.consortium(1), job, 2)
    number = listed(invoke)[-1]["number"]
    result = invoke("fault", "overturn", number, "--reason", "mine", "--dev-account", 1)
    assert_one_line(result, 4, "is no steward; give its --keystore")
    assert invoke("fault", "overturn", number, "--reason", "a test", "--dev-account", 0, "--json").exit_code == 0


def test_a_fault_that_there_is_not_is_one_line(invoke: Invoke, net: Net) -> None:
    for command in (("show",), ("tally", "--dev-account", 3), ("vote", "--false", "--dev-account", 3)):
        assert_one_line(invoke("fault", command[0], 4711, *command[1:]), 2, "no fault")
    assert_one_line(invoke("fault", "list", "--party", "nobody"), 2, "no participant 'nobody'")


def test_only_a_flagged_statistic_is_voted_on(invoke: Invoke, net: Net, job: JobId) -> None:
    reject(net.consortium(1), job, 3)
    number = listed(invoke)[-1]["number"]
    for command in (("vote", "--sound"), ("reveal",), ("tally",)):
        result = invoke("fault", command[0], number, *command[1:], "--dev-account", 2)
        assert_one_line(result, 2, f"fault {number} is WRONG_PHASE, which nobody votes on")
    invoke("fault", "overturn", number, "--reason", "a test", "--dev-account", 0)


def test_evidence_that_a_node_kept_is_proven_once(invoke: Invoke, net: Net, job: JobId, tmp_path: Path) -> None:
    hostile, consortium = net.participant(4, "mallory"), net.consortium(4)
    client = consortium.client
    state = NodeState(tmp_path / "node.sqlite", chain_id=client.chain_id, genesis_hash=client.genesis_hash())
    for digest in (b"\x01" * 32, b"\x02" * 32):
        envelope = uplink(job, digest=digest)
        signature = consortium.sign_uplink(consortium.uplink_id(hostile, envelope))
        state.keep_proof(Delivery(job, 0, hostile, envelope.to_bytes(), signature))
    state.close()
    prove = ("fault", "prove", job, "--state", tmp_path, "--dev-account", 9)
    first = invoke(*prove, "--json")
    assert first.exit_code == 0, first.output
    (proven,) = json.loads(first.stdout)["proven"]
    assert (proven["party"], proven["reason"], proven["answer"]) == ("mallory", "EQUIVOCATION", "suspension")
    again = invoke(*prove)
    assert again.stdout == f"job {job}: nothing is left to prove\n"
    assert consortium.participant(hostile).status.name == "SUSPENDED"
    missing = invoke("fault", "prove", job, "--state", tmp_path / "nowhere", "--dev-account", 9)
    assert_one_line(missing, 2, "no node's state is there")
