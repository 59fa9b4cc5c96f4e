"""`fedchain deploy` and `fedchain steward` against an embedded chain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedchain.chain import Account, ChainClient, Deployment, dev_accounts

from .conftest import Invoke, Net, assert_one_line


def test_deploying_again_changes_nothing(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    out = tmp_path / "deployment.json"
    first = invoke("deploy", "--out", out, "--json")
    assert first.exit_code == 0, first.output
    report, written, head = json.loads(first.stdout), out.read_bytes(), ChainClient(net.rpc_url).head()
    assert report["created"] is True
    assert report["stewards"] == [report["deployer"]]
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
        assert json.loads(result.stdout)["status"] == status
        listed = json.loads(invoke("steward", "list", "--json").stdout)["participants"]
        assert [one["status"] for one in listed if one["address"] == address] == [status]
    assert "gamma" in invoke("steward", "list").stdout


def test_whoever_is_no_steward_cannot_accredit(invoke: Invoke, net: Net) -> None:
    net.participant(6, "delta", accredited=False)
    result = invoke("steward", "accredit", "delta", "--dev-account", 6)
    assert_one_line(result, 4, "ParticipantRegistry.accredit was refused", "AccessControlUnauthorizedAccount")


def test_nobody_of_that_name_is_one_line(invoke: Invoke) -> None:
    result = invoke("steward", "accredit", "nobody", "--dev-account", 0)
    assert_one_line(result, 2, "no participant 'nobody' is registered", "fedchain steward list")
