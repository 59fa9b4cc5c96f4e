"""What containers are started and checked with: status commands, and settings of a new node."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from typer.testing import CliRunner

from fedchain.chain import Account, ChainClient
from fedchain.chain.besu import DEFAULT_CHAIN_ID
from fedchain.cli.main import app
from fedchain.node.config import load_config
from fedchain.node.runtime import Node

from .conftest import Invoke, Net, assert_one_line
from .test_node_life import make_node


def test_chain_status_says_which_chain_answers(invoke: Invoke, net: Net) -> None:
    result = invoke("chain", "status", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    with ChainClient(net.rpc_url) as client:
        assert found["chain_id"] == client.chain_id
        assert found["genesis_hash"] == "0x" + client.genesis_hash().hex()
        assert found["block"] == client.head()
    assert found["gas_price_wei"] == 0
    assert "gas is free" in invoke("chain", "status").stdout


def test_chain_status_fails_where_nothing_answers(invoke: Invoke) -> None:
    assert_one_line(invoke("chain", "status", "--rpc", "http://127.0.0.1:1"), 4, "no usable answer from the chain")


def test_node_status_tells_how_far_a_node_has_come(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    folder = make_node(net, tmp_path / "epsilon", "epsilon")
    assert_one_line(invoke("node", "status", folder), 2, "no node answers", "fedchain node run")
    node = Node(load_config(folder / "node.toml"), threading.Event())
    try:
        assert json.loads(invoke("node", "status", folder, "--json").stdout)["status"] == "starting"
        early = invoke("node", "status", folder, "--require", "registered")
        assert (early.exit_code, early.stderr) == (4, "error: node 'epsilon' is starting, not registered\n")

        begun = threading.Thread(target=node.start)
        begun.start()
        while invoke("node", "status", folder, "--require", "registered").exit_code:
            assert begun.is_alive()
        refused = invoke("node", "status", folder, "--require", "ready")
        assert (refused.exit_code, refused.stderr.count("is registered, not ready")) == (4, 1)

        assert invoke("steward", "accredit", "epsilon").exit_code == 0
        begun.join(60)
        found = json.loads(invoke("node", "status", folder, "--require", "ready", "--json").stdout)
        assert found == {"name": "epsilon", "status": "accredited", "ready": True, "running_jobs": []}
    finally:
        node.close()


def test_accrediting_twice_changes_nothing(invoke: Invoke, net: Net) -> None:
    net.participant(7, "zeta", accredited=False)
    first = invoke("steward", "accredit", "zeta", "--json")
    with ChainClient(net.rpc_url) as client:
        head = client.head()
        second = invoke("steward", "accredit", "zeta", "--json")
        assert second.exit_code == 0
        said, said_again = json.loads(first.stdout), json.loads(second.stdout)
        assert (said.pop("voted"), said_again.pop("voted")) == (True, False)
        assert (said["status"], said_again["status"]) == ("accredited", "accredited")
        assert client.head() == head


def test_a_stewards_key_deploys(invoke: Invoke, tmp_path: Path) -> None:
    folder = tmp_path / "steward"
    made = json.loads(invoke("steward", "init", folder, "--json").stdout)
    assert [(folder / name).stat().st_mode & 0o777 for name in ("keystore.json", "passphrase")] == [0o600, 0o600]
    passphrase = (folder / "passphrase").read_text().strip()
    assert Account.from_keystore(folder / "keystore.json", passphrase).address == made["address"]
    again = invoke("steward", "init", folder)
    assert_one_line(again, 2, "exists already", "never overwritten")
    assert (folder / "passphrase").read_text().strip() == passphrase

    keys = ("--keystore", made["keystore"], "--passphrase-file", made["passphrase_file"])
    deployed = invoke("deploy", "--out", tmp_path / "d.json", *keys, "--json")
    assert deployed.exit_code == 0, deployed.output
    assert json.loads(deployed.stdout)["stewards"] == [made["address"]]
    assert not (tmp_path / "d.json.progress").exists()


def test_besu_files_are_printed_with_whose_keys_are_where(invoke: Invoke, tmp_path: Path) -> None:
    folder, steward = tmp_path / "network", tmp_path / "steward"
    invoke("steward", "init", steward)
    arguments = ("chain", "besu", folder, "--prefund", steward / "keystore.json", "--host", "10.0.0.1")
    first = invoke(*arguments, "--json")
    assert first.exit_code == 0, first.output
    assert "stands still when one is down" in first.stderr
    found = json.loads(first.stdout)
    assert found["created"] is True
    assert [one["has_key"] for one in found["validators"]] == [True]
    address = json.loads((steward / "keystore.json").read_text())["address"].removeprefix("0x")
    genesis = json.loads((folder / "genesis.json").read_text())
    assert [one.lower() for one in genesis["alloc"]] == [address.lower()]
    assert genesis["config"]["chainId"] == DEFAULT_CHAIN_ID
    assert json.loads(invoke(*arguments, "--json").stdout) == {**found, "created": False}
    assert_one_line(invoke(*arguments, "--host", "name"), 2, "'name' is no IP address")


def test_a_new_node_listens_and_is_dialled_where_it_is_told(invoke: Invoke, tmp_path: Path) -> None:
    where = ("--listen", "0.0.0.0:4433", "--endpoint", "node.example.org:4433", "--metrics", "127.0.0.1:9464")
    made = invoke("node", "init", tmp_path / "n", "--name", "n", "--data", tmp_path / "n.csv", *where)
    assert made.exit_code == 0, made.output
    config = load_config(tmp_path / "n" / "node.toml")
    assert (config.serve.host, config.serve.port) == ("0.0.0.0", 4433)
    assert config.serve.endpoint == "node.example.org:4433"
    assert (config.metrics.host, config.metrics.port) == ("127.0.0.1", 9464)


def test_a_new_node_is_reached_from_its_own_machine_alone_by_default(invoke: Invoke, tmp_path: Path) -> None:
    invoke("node", "init", tmp_path / "n", "--name", "n", "--data", tmp_path / "n.csv")
    config = load_config(tmp_path / "n" / "node.toml")
    assert (config.serve.host, config.serve.port, config.serve.endpoint) == ("127.0.0.1", 0, None)
    assert config.metrics.port is None


def test_a_malformed_address_makes_no_node(invoke: Invoke, tmp_path: Path) -> None:
    arguments = ("node", "init", tmp_path / "n", "--name", "n", "--data", tmp_path / "n.csv")
    for option in ("--listen", "--endpoint", "--metrics"):
        assert_one_line(invoke(*arguments, option, "4433"), 2, "is not of the form host:port")
    assert not (tmp_path / "n").exists()


def test_a_nodes_folder_may_stand_in_the_environment(net: Net, tmp_path: Path) -> None:
    folder = make_node(net, tmp_path / "eta", "eta", funded=False)
    result = CliRunner(env={"FEDCHAIN_NODE": str(folder)}).invoke(app, ["node", "status"])
    assert "no node answers at" in result.stderr
