"""`fedchain deploy` and `fedchain steward` against an embedded chain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedchain.chain import Account, ChainClient, Consortium, Deployment, Sender, dev_accounts
from fedchain.chain import upgrading as upgrading_module
from fedchain.chain.upgrading import candidate_path, version_path
from tests.certificates import STAND_IN_KEY, stand_in_certificate

from .conftest import Invoke, Net, assert_one_line


def test_deploying_again_changes_nothing(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    out = tmp_path / "deployment.json"
    first = invoke("deploy", "--out", out, "--json")
    assert first.exit_code == 0, first.output
    report, written, head = json.loads(first.stdout), out.read_bytes(), ChainClient(net.rpc_url).head()
    assert report["created"] is True
    assert report["stewards"] == [report["deployer"]]
    assert (report["version"], report["threshold"], report["delay_seconds"]) == (1, 1, 0)
    assert {name: one["address"] for name, one in report["contracts"].items()} == Deployment.load(out).addresses
    again = invoke("deploy", "--out", out, "--json")
    assert json.loads(again.stdout) == {**report, "created": False}
    assert (out.read_bytes(), ChainClient(net.rpc_url).head()) == (written, head)
    for_people = invoke("deploy", "--out", out)
    assert all(address in for_people.stdout for address in Deployment.load(out).addresses.values())


def test_deploying_with_a_keystore_makes_it_the_deployer(invoke: Invoke, tmp_path: Path) -> None:
    account, steward = Account.create(), dev_accounts(3)[2].address
    account.save_keystore(tmp_path / "key.json", "correct horse", iterations=1 << 10)
    (tmp_path / "pass").write_text("correct horse\n")
    arguments = ("deploy", "--out", tmp_path / "d.json", "--keystore", tmp_path / "key.json", "--steward", steward)
    result = invoke(*arguments, "--passphrase-file", tmp_path / "pass", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["deployer"], report["stewards"]) == (account.address, [steward])
    assert "correct horse" not in result.output


def test_a_keystore_that_does_not_open_is_one_line(invoke: Invoke, tmp_path: Path) -> None:
    Account.create().save_keystore(tmp_path / "key.json", "right", iterations=1 << 10)
    (tmp_path / "pass").write_text("wrong\n")
    arguments = ("deploy", "--out", tmp_path / "d.json", "--keystore", tmp_path / "key.json")
    assert_one_line(invoke(*arguments, "--passphrase-file", tmp_path / "pass"), 2, "passphrase does not open it")
    assert_one_line(invoke(*arguments), 2, "give --passphrase-file FILE")
    assert_one_line(invoke(*arguments, "--dev-account", 1), 2, "two accounts")
    (tmp_path / "pass").write_text("\n")
    assert_one_line(invoke(*arguments, "--passphrase-file", tmp_path / "pass"), 2, "first line is empty")
    assert not (tmp_path / "d.json").exists()


def test_no_account_is_assumed_on_a_chain_that_is_no_development_chain(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedchain.cli.options.DEV_CHAIN_IDS", (1337,))
    assert_one_line(invoke("deploy", "--out", tmp_path / "d.json"), 2, "no development chain", "--keystore FILE")


def test_stewards_accredit_suspend_and_reinstate(invoke: Invoke, net: Net) -> None:
    address = net.participant(5, "gamma", accredited=False)
    steps = (("accredit", "accredited"), ("suspend", "suspended"), ("reinstate", "accredited"))
    for verb, status in steps:
        more = ("--reason", "contract ended") if verb == "suspend" else ()
        result = invoke("steward", verb, "gamma", *more, "--json")
        assert result.exit_code == 0, result.output
        said = json.loads(result.stdout)
        assert (said["status"], said["votes"], said["threshold"], said["carried"]) == (status, 1, 1, True)
        listed = json.loads(invoke("steward", "list", "--json").stdout)["participants"]
        assert [one["status"] for one in listed if one["address"] == address] == [status]
    assert "gamma" in invoke("steward", "list").stdout


def test_whoever_is_no_steward_cannot_accredit(invoke: Invoke, net: Net) -> None:
    net.participant(6, "delta", accredited=False)
    result = invoke("steward", "accredit", "delta", "--dev-account", 6)
    assert_one_line(result, 4, "is no steward; give its --keystore")


def test_nobody_of_that_name_is_one_line(invoke: Invoke) -> None:
    result = invoke("steward", "accredit", "nobody", "--dev-account", 0)
    assert_one_line(result, 2, "no participant 'nobody' is registered", "fedchain steward list")


@pytest.fixture
def council(invoke: Invoke, net: Net, tmp_path: Path) -> Path:
    """A deployment of development accounts 0, 1 and 2, of whom two decide; account 7 is registered as `epsilon`."""
    out = tmp_path / "council.json"
    stewards = [word for one in dev_accounts(3) for word in ("--steward", one.address)]
    result = invoke("deploy", "--out", out, *stewards, "--threshold", 2, "--delay", 0, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["threshold"], report["delay_seconds"], len(report["stewards"])) == (2, 0, 3)
    client = ChainClient(net.rpc_url)
    own = Consortium(client, Deployment.load(out), Sender(client, dev_accounts(8)[7]))
    own.register("epsilon", "127.0.0.1:1", stand_in_certificate("epsilon"), STAND_IN_KEY)
    return out


def test_each_call_is_a_vote_and_says_how_many_there_are(invoke: Invoke, council: Path) -> None:
    def vote(account: int, *words: object) -> str:
        result = invoke("steward", *words, "--deployment", council, "--dev-account", account)
        assert result.exit_code == 0, result.output
        return str(result.stdout)

    assert "is registered: 1 of 2 votes that it be accredited" in vote(0, "accredit", "epsilon")
    assert "is registered: 1 of 2 votes that it be accredited" in vote(0, "accredit", "epsilon")  # nothing is sent
    open_votes = json.loads(vote_status(invoke, council, "epsilon"))["votes"]
    assert open_votes == {"accredited": [dev_accounts(1)[0].address]}
    assert "is accredited: 2 of 2 votes" in vote(2, "accredit", "epsilon")
    assert "is accredited\n" in vote(1, "accredit", "epsilon")
    assert "1 of 2 votes that it be suspended" in vote(1, "suspend", "epsilon", "--reason", "late")
    said = json.loads(vote(0, "suspend", "epsilon", "--reason", "unpaid", "--json"))
    assert (said["status"], said["votes"], said["carried"], said["voted"]) == ("suspended", 2, True, True)
    vote(0, "reinstate", "epsilon")
    assert "is accredited: 2 of 2 votes" in vote(1, "reinstate", "epsilon")
    vote(0, "ban", "epsilon", "--reason", "forged payloads")
    assert "is banned: 2 of 2 votes" in vote(1, "ban", "epsilon", "--reason", "lied about it")
    refused = invoke("steward", "accredit", "epsilon", "--deployment", council, "--dev-account", 0)
    assert_one_line(refused, 4, "WrongStatus")


def vote_status(invoke: Invoke, deployment: Path, *words: object) -> str:
    result = invoke("steward", "status", *words, "--deployment", deployment, "--json")
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def test_stewards_vote_for_others(invoke: Invoke, council: Path) -> None:
    addresses = [one.address for one in dev_accounts(4)]
    wanted = [word for one in addresses[1:] for word in ("--steward", one)]
    first = invoke("steward", "change", *wanted, "--deployment", council, "--dev-account", 0)
    assert first.stdout == "1 of 2 votes for 2 of 3 stewards; not carried yet\n"
    second = invoke("steward", "change", *wanted, "--deployment", council, "--dev-account", 1)
    assert second.stdout.startswith("2 of 2 votes: 2 of 3 stewards decide now: ")
    assert json.loads(vote_status(invoke, council))["stewards"] == addresses[1:]
    shown = invoke("steward", "status", "epsilon", "--deployment", council).stdout
    assert all(one in shown for one in (*addresses[1:], "2 of 3", "epsilon"))
    refused = invoke("steward", "change", *wanted, "--threshold", 4, "--deployment", council, "--dev-account", 1)
    assert_one_line(refused, 2, "4 votes of 3 stewards; give 1 to 3")
    malformed = invoke("steward", "change", "--steward", "0x12", "--deployment", council, "--dev-account", 1)
    assert_one_line(malformed, 2, "0x12")


def test_an_upgrade_is_voted_on_and_the_earlier_file_is_kept(
    invoke: Invoke, council: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrading_module, "is_current", lambda client, recorded: recorded.version > 1)
    old = Deployment.load(council)
    first = invoke("deploy", "--upgrade", "--out", council, "--dev-account", 0)
    assert first.stdout == "1 of 2 votes for version 2; not carried yet\n", first.output
    assert str(candidate_path(council)) in first.stderr
    second = invoke("deploy", "--upgrade", "--out", council, "--dev-account", 1, "--json")
    report = json.loads(second.stdout)
    assert (report["version"], report["in_force"], report["change_votes"]) == (2, True, 2)
    assert report["earlier"] == str(version_path(council, 1))
    assert Deployment.load(version_path(council, 1)) == old
    assert Deployment.load(council).addresses == report["contracts"]
    idle = invoke("deploy", "--upgrade", "--out", council, "--dev-account", 0)
    assert "nothing to do" in idle.stdout
    for file in (council, version_path(council, 1)):
        verified = invoke("deploy", "--verify", "--out", file, "--json")
        assert (verified.exit_code, json.loads(verified.stdout)["sound"]) == (0, True)
    assert json.loads(vote_status(invoke, council))["version"] == 2
    behind = invoke("steward", "status", "--deployment", version_path(council, 1))
    assert "records version 1; get the file of version 2" in behind.stderr


def test_a_pending_upgrade_is_shown_and_cancelled(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrading_module, "is_current", lambda client, recorded: False)
    out = tmp_path / "slow.json"
    assert invoke("deploy", "--out", out, "--delay", 3600).exit_code == 0
    nothing = invoke("steward", "cancel", "--deployment", out, "--dev-account", 0)
    assert_one_line(nothing, 2, "no upgrade is pending")
    result = invoke("deploy", "--upgrade", "--out", out)
    assert "1 of 1 votes for version 2; not before 2" in result.stdout, result.output
    pending = json.loads(vote_status(invoke, out))["pending"]
    assert (pending["version"], len(pending["contracts"])) == (2, 10)
    assert "version 2, not before" in invoke("steward", "status", "--deployment", out).stdout
    cancelled = invoke("steward", "cancel", "--deployment", out)
    assert cancelled.stdout == "1 of 1 votes to drop version 2; dropped\n", cancelled.output
    assert json.loads(vote_status(invoke, out))["pending"] is None


def test_options_that_do_not_go_together_are_one_line(invoke: Invoke, tmp_path: Path) -> None:
    out = tmp_path / "none.json"
    assert_one_line(invoke("deploy", "--upgrade", "--out", out, "--threshold", 1), 2, "--upgrade keeps stewards")
    assert_one_line(invoke("deploy", "--verify", "--upgrade", "--out", out), 2, "--verify sends nothing")
    own = ("--dev-account", 0)
    assert_one_line(invoke("deploy", "--out", out, "--threshold", 2, *own), 2, "2 votes of 1 stewards")
    assert_one_line(invoke("deploy", "--out", out, "--delay", 10**9, *own), 2, "give 0 to 31536000")
    assert_one_line(invoke("deploy", "--upgrade", "--out", out, *own), 2, "make one with `fedchain deploy`")
