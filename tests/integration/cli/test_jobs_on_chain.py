"""What `fedchain job` and `fedchain contributions` say about jobs, and about a chain that does not serve."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

import pytest

from fedchain.chain import Consortium, dev_accounts
from fedchain.cli import watching

from .conftest import Invoke, Net, assert_one_line

UNKNOWN = "0x" + "ab" * 32
READERS = (("job", "status"), ("job", "watch"), ("contributions",), ("audit",))


def test_status_tells_phase_and_who_has_accepted(invoke: Invoke, net: Net) -> None:
    job_id = net.propose()
    net.consortium(2).accept(job_id)
    result = invoke("job", "status", job_id, "--json")
    assert result.exit_code == 0, result.output
    state = json.loads(result.stdout)
    assert (state["phase"], state["max_rounds"], state["trees_done"]) == ("proposed", 7, 0)
    assert (state["model_digest"], state["uplinks"]) == (None, {"accepted": 0, "rejected": 0})
    parties = [(one["name"], one["role"], one["accepted"], one["shard_digest"]) for one in state["parties"]]
    assert parties == [("alpha", "active", False, None), ("beta", "passive", True, None)]
    for_people = invoke("job", "status", job_id.upper().replace("0X", "0x")).stdout
    assert "proposed" in for_people
    assert "beta" in for_people


def test_an_aborted_job_fails_the_watch_and_says_by_whom_and_why(invoke: Invoke, net: Net) -> None:
    job_id = net.propose()
    net.consortium(2).abort(job_id, "prices differ")
    assert "prices differ (by beta)" in invoke("job", "status", job_id).stdout
    result = invoke("job", "watch", job_id, "--json")
    assert json.loads(result.stdout)["abort_reason"] == "prices differ (by beta)"
    assert result.stderr.splitlines()[-1] == f"error: job {job_id} was aborted: prices differ (by beta)"
    assert result.exit_code == 5


def test_watching_gives_up_after_the_timeout(invoke: Invoke, net: Net) -> None:
    result = invoke("job", "watch", net.propose(), "--timeout", 0.1)
    assert result.stderr.splitlines()[0].startswith("proposed: 0 of 7 trees")
    assert "still proposed after 0.1 s" in result.stderr.splitlines()[-1]
    assert result.exit_code == 5


def test_watching_shows_who_is_waited_for_and_since_when(
    invoke: Invoke, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SHOWN_AFTER_SECONDS", 0.2)
    job_id = net.propose()
    net.consortium(1).accept(job_id)
    begun = time.time()
    result = invoke("job", "watch", job_id, "--timeout", 1, "--json")
    job, wait = (json.loads(line) for line in result.stderr.splitlines()[:2])
    assert (job["event"], job["phase"], job["round"], job["max_rounds"]) == ("job", "proposed", 0, 7)
    assert (wait["event"], wait["who"], wait["what"]) == ("wait", ["beta"], "acceptance of the job")
    assert begun <= wait["since"] <= time.time()
    assert "after 1 s, waiting for beta: acceptance of the job, since " in result.stderr.splitlines()[-1]
    for_people = invoke("job", "watch", job_id, "--timeout", 1).stderr.splitlines()
    assert for_people[1].startswith("waiting for beta: acceptance of the job, since ")


def test_an_audit_tells_the_story_and_gives_each_party_a_verdict(invoke: Invoke, net: Net) -> None:
    job_id = net.propose()
    net.consortium(2).abort(job_id, "prices differ")
    for_people = invoke("audit", job_id)
    assert for_people.exit_code == 0, for_people.output
    for words in ("proposed the job to alpha, beta", "aborted the job: prices differ", "no valid job spec", "missing:"):
        assert words in for_people.stdout
    report = json.loads(invoke("audit", job_id, "--json").stdout)
    assert (report["phase"], report["verdict"], report["mismatches"]) == ("aborted", "faults", [])
    assert [(one["name"], one["verdict"]) for one in report["parties"]] == [("alpha", "faults"), ("beta", "missing")]


def test_an_audit_that_finds_something_fails_and_says_what(
    invoke: Invoke, net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = net.propose()
    monkeypatch.setattr(Consortium, "counts", lambda self, job: (1, 0))
    result = invoke("audit", job_id)
    assert result.exit_code == 1
    assert "what does not match" in result.stdout
    assert result.stderr == (
        f"error: job {job_id}: counts of verdicts: accepted and rejected uplinks: expected (0, 0), found (1, 0)\n"
    )
    assert json.loads(invoke("audit", job_id, "--json").stdout)["verdict"] == "mismatch"


def closed_as_soon_as_due(invoke: Invoke, job_id: str) -> dict[str, object]:
    """By hand, as the chain's clock allows; nothing due is one line until then."""
    until = time.monotonic() + 60
    while True:
        result = invoke("job", "close", job_id, "--dev-account", 5, "--json")
        if result.exit_code == 0:
            found: dict[str, object] = json.loads(result.stdout)
            return found
        assert "nothing is due" in result.stderr or "DeadlineNotReached" in result.stderr, result.output
        assert time.monotonic() < until
        time.sleep(0.3)


def test_anybody_closes_what_is_overdue_and_then_ends_it(invoke: Invoke, net: Net) -> None:
    job_id = net.propose(phase_seconds=2)
    net.consortium(2).accept(job_id)
    state = json.loads(invoke("job", "status", job_id, "--json").stdout)
    assert (state["closed"], state["deadline"] > 0) == (False, True)
    assert state["seconds_left"] <= 2
    assert closed_as_soon_as_due(invoke, job_id) == {"job_id": job_id, "done": "close", "phase": "proposed"}
    assert "closed; the job may be ended after" in invoke("job", "status", job_id).stdout
    assert json.loads(invoke("job", "status", job_id, "--json").stdout)["closed"] is True
    assert closed_as_soon_as_due(invoke, job_id) == {"job_id": job_id, "done": "expire", "phase": "expired"}
    watched = invoke("job", "watch", job_id)
    assert watched.exit_code == 5
    assert "expired: its deadline passed" in watched.stderr.splitlines()[-1]
    report = json.loads(invoke("audit", job_id, "--json").stdout)
    assert (report["phase"], report["mismatches"]) == ("expired", [])
    missing = {one["name"]: one["missing"] for one in report["parties"]}
    assert missing == {"alpha": ["deadline", "acceptance"], "beta": []}
    assert_one_line(invoke("job", "close", job_id, "--dev-account", 5), 2, "nothing is due; it is expired")


def test_what_is_not_overdue_is_not_closed_and_the_line_tells_until_when(invoke: Invoke, net: Net) -> None:
    job_id = net.propose()
    line = ("nothing is due; phase proposed has until ", "it may be ended after ")
    assert_one_line(invoke("job", "close", job_id, "--dev-account", 5), 2, *line)


def test_contributions_that_are_not_recorded_are_one_line(invoke: Invoke, net: Net) -> None:
    job_id = net.propose()
    assert_one_line(invoke("contributions", job_id), 2, "no contribution recorded", "it is proposed")


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_an_unknown_job_is_one_line(invoke: Invoke, net: Net, command: tuple[str, ...]) -> None:
    newest = net.propose()
    assert_one_line(invoke(*command, UNKNOWN), 2, f"no job {UNKNOWN}", str(newest))
    assert_one_line(invoke(*command, "0x12"), 2, "'0x12' is not 0x and 64 hex digits")


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_an_rpc_address_where_nothing_answers_is_one_line(invoke: Invoke, command: tuple[str, ...]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert_one_line(invoke(*command, UNKNOWN, "--rpc", url), 4, url, "check that the node runs")
    assert_one_line(invoke(*command, UNKNOWN, "--rpc", "ftp://x"), 2, "RPC address", "http://127.0.0.1:8545")


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_another_chain_than_the_recorded_one_is_one_line(
    invoke: Invoke, net: Net, tmp_path: Path, command: tuple[str, ...]
) -> None:
    other = json.loads(net.deployment.read_text())
    other["chain_id"] = 4242
    (tmp_path / "other.json").write_text(json.dumps(other))
    result = invoke(*command, UNKNOWN, "--deployment", tmp_path / "other.json")
    assert_one_line(result, 4, "expected 4242", "found ")
    with_debug = invoke(*command, UNKNOWN, "--deployment", tmp_path / "other.json", "--debug")
    assert "Traceback (most recent call last)" in with_debug.stderr
    assert with_debug.exit_code == 4


def test_a_missing_deployment_file_is_one_line(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("job", "status", UNKNOWN, "--deployment", tmp_path / "none.json")
    assert_one_line(result, 2, "none.json", "make one with `fedchain deploy`")


def test_funding_moves_play_money(invoke: Invoke, net: Net) -> None:
    address = dev_accounts(10)[9].address
    before = net.consortium(0).client.balance(address)
    result = invoke("chain", "fund", address, "--ether", 3, "--json")
    assert json.loads(result.stdout) == {"address": address, "balance_wei": before + 3 * 10**18}
    assert_one_line(invoke("chain", "fund", "operator"), 2, "'operator' is no address")
