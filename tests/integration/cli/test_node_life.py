"""`node register`, `node doctor`, `deploy --verify`, `node backup` and `node restore` against an embedded chain."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import Account, ChainClient, Consortium, Deployment, Sender, dev_accounts
from fedchain.errors import ChainUnreachableError
from fedchain.exchange import Identity
from fedchain.node.config import load_config
from fedchain.node.runtime import Node
from fedchain.types import Status

from .conftest import Invoke, Net, assert_one_line


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def make_node(net: Net, folder: Path, name: str, *, port: int | None = None, funded: bool = True) -> Path:
    """A node's folder as `node init` makes it, with a cheap keystore."""
    folder.mkdir(mode=0o700)
    account = Account.create()
    account.save_keystore(folder / "keystore.json", "pass", iterations=2)
    (folder / "passphrase").write_text("pass\n")
    (folder / "passphrase").chmod(0o600)
    Identity.create(name).save(folder / "certificate.pem", folder / "certificate.key")
    (folder / "table.csv").write_text("id,loans\nc1,424242424242\nc2,2\n")
    (folder / "node.toml").write_text(
        f'name = "{name}"\n[chain]\nrpc = "{net.rpc_url}"\ndeployment = "{net.deployment}"\n'
        f'[data]\npath = "table.csv"\n'
        f"[serve]\nport = {free_port() if port is None else port}\n"
    )
    if funded:
        client = ChainClient(net.rpc_url)
        Sender(client, dev_accounts(1)[0]).transfer(account.address, 10**18)
    return folder


def address_of(folder: Path) -> str:
    return Account.from_keystore(folder / "keystore.json", "pass").address


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Node]:
    """The node, in this process, accredited."""
    node = Node(load_config(folder / "node.toml"), threading.Event())
    try:
        assert node.start(wait_for_accreditation=False)
        yield node
    finally:
        node.close()


def checks(invoke: Invoke, folder: Path, *options: str, code: int = 0) -> dict[str, dict[str, Any]]:
    result = invoke("node", "doctor", folder, "--json", *options)
    assert result.exit_code == code, result.output
    report = json.loads(result.stdout)
    assert report["level"] == "fail" if code else report["level"] in ("ok", "warn")
    return {one["check"]: one for one in report["checks"]}


def test_registering_twice_writes_once_and_tells_the_standing(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    folder = make_node(net, tmp_path / "n", "reg-twice")
    first = invoke("node", "register", folder, "--json")
    assert first.exit_code == 0, first.output
    report = json.loads(first.stdout)
    assert (report["status"], report["accredited"], report["changed"]) == ("registered", False, True)
    entry = net.consortium(0).participant(report["address"])
    assert (entry.name, entry.endpoint) == ("reg-twice", report["endpoint"])
    assert "0x" + entry.fingerprint.hex() == report["fingerprint"]
    nonce = ChainClient(net.rpc_url).nonce(report["address"])
    again = json.loads(invoke("node", "register", folder, "--json").stdout)
    assert again == {**report, "changed": False}
    assert ChainClient(net.rpc_url).nonce(report["address"]) == nonce
    net.consortium(0).accredit(report["address"])
    for_people = invoke("node", "register", folder, "--wait")
    assert "was registered already" in for_people.stdout
    assert "accredited" in for_people.stdout


def test_waiting_ends_when_a_steward_accredits(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    folder = make_node(net, tmp_path / "n", "reg-waits")
    address = address_of(folder)

    def steward() -> None:
        consortium = net.consortium(0)
        while consortium.participant(address).status is Status.UNKNOWN:
            threading.Event().wait(0.05)
        consortium.accredit(address)

    thread = threading.Thread(target=steward)
    thread.start()
    try:
        done = json.loads(invoke("node", "register", folder, "--wait", "--timeout", 30, "--json").stdout)
    finally:
        thread.join(30)
    assert done["accredited"] is True


def test_waiting_in_vain_is_one_line(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    folder = make_node(net, tmp_path / "n", "reg-vain")
    invoke("node", "register", folder)
    assert_one_line(
        invoke("--log-level", "error", "node", "register", folder, "--wait", "--timeout", 0), 4, "ask a steward"
    )


def test_registering_needs_an_endpoint_that_is_known_before(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    folder = make_node(net, tmp_path / "n", "reg-anywhere", port=0)
    assert_one_line(invoke("node", "register", folder), 2, "[serve] port is 0", "[serve] endpoint")
    toml = folder / "node.toml"
    toml.write_text(toml.read_text().replace("port = 0", 'host = "0.0.0.0"\nport = 4433'))
    assert_one_line(invoke("node", "register", folder), 2, "peers cannot dial")
    toml.write_text(toml.read_text().replace("port = 4433", 'port = 4433\nendpoint = "node.example.org:4433"'))
    assert json.loads(invoke("node", "register", folder, "--json").stdout)["endpoint"] == "node.example.org:4433"


def test_a_running_node_is_not_registered_from_beside(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    folder = make_node(net, tmp_path / "n", "reg-running")
    net.consortium(0).accredit(json.loads(invoke("node", "register", folder, "--json").stdout)["address"])
    with running(folder):
        assert json.loads(invoke("node", "register", folder, "--json").stdout)["changed"] is False
        toml = folder / "node.toml"
        toml.write_text(toml.read_text() + 'endpoint = "node.example.org:4433"\n')
        assert_one_line(invoke("node", "register", folder), 2, "restart it")


def test_the_doctor_finds_two_running_nodes_well(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    folders = [make_node(net, tmp_path / name, name) for name in ("well-one", "well-two")]
    for folder in folders:
        address = json.loads(invoke("node", "register", folder, "--json").stdout)["address"]
        net.consortium(0).accredit(address)
    with running(folders[0]), running(folders[1]):
        found = checks(invoke, folders[0])
        assert found["process"]["found"].startswith("running")
        for name in ("node.toml", "keystore file", "passphrase file", "certificate key file", "state folder"):
            assert found[name]["level"] == "ok", found[name]
        for name in ("keystore", "certificate", "chain", "contracts", "clock", "balance", "registry"):
            assert found[name]["level"] == "ok", found[name]
        assert found["registered certificate"]["level"] == found["deployment file"]["level"] == "ok"
        assert "2 rows, 1 columns" in found["data"]["found"]
        assert "valid without end" in found["certificate"]["found"]
        peer = found["peer well-two"]
        assert peer["level"] == "ok", peer
        assert "TLSv1.3" in peer["found"]
        assert "424242424242" not in json.dumps(found)
        for_people = invoke("node", "doctor", folders[0])
        assert "peer well-two" in for_people.stdout
    gone = checks(invoke, folders[0])
    assert gone["process"]["found"] == "not running"
    assert gone["peer well-two"]["level"] == "warn"


def test_the_doctor_tells_a_peer_with_another_certificate_and_one_that_refuses_ours(
    invoke: Invoke, net: Net, tmp_path: Path
) -> None:
    us, them = (make_node(net, tmp_path / name, name) for name in ("peer-us", "peer-them"))
    for folder in (us, them):
        net.consortium(0).accredit(json.loads(invoke("node", "register", folder, "--json").stdout)["address"])
    with running(them):
        kept = {name: (us / name).read_bytes() for name in ("certificate.pem", "certificate.key")}
        for name in kept:
            (us / name).unlink()
        Identity.create("peer-us").save(us / "certificate.pem", us / "certificate.key")
        found = checks(invoke, us)
        assert found["registered certificate"]["level"] == "warn"
        assert "does not take this node's certificate" in found["peer peer-them"]["found"]
    for name, content in kept.items():
        (us / name).write_bytes(content)
    port = load_config(them / "node.toml").serve.port
    toml = us / "node.toml"
    impostor = make_node(net, tmp_path / "impostor", "impostor", port=port)
    net.consortium(0).accredit(_registered_elsewhere(invoke, impostor))
    with running(impostor):
        found = checks(invoke, us)
        assert "has not the registered certificate" in found["peer peer-them"]["found"]
    assert toml.exists()


def _registered_elsewhere(invoke: Invoke, folder: Path) -> str:
    return str(json.loads(invoke("node", "register", folder, "--json").stdout)["address"])


def test_the_doctor_names_each_fault_and_its_fix(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    folder = make_node(net, tmp_path / "n", "sick")
    assert checks(invoke, folder)["registry"]["level"] == "warn"
    (folder / "keystore.json").chmod(0o644)
    assert checks(invoke, folder, code=1)["keystore file"]["fix"].startswith("chmod 600")
    (folder / "keystore.json").chmod(0o600)
    (folder / "passphrase").write_text("wrong\n")
    assert "does not open it" in checks(invoke, folder, code=1)["keystore"]["found"]
    (folder / "passphrase").write_text("pass\n")
    assert checks(invoke, folder, "--column", "cards", code=1)["data"]["level"] == "fail"
    assert checks(invoke, folder, "--id-column", "customer", code=1)["data"]["level"] == "fail"
    table = (folder / "table.csv").read_bytes()
    (folder / "table.csv").unlink()
    assert "no such file" in checks(invoke, folder, code=1)["data"]["found"]
    (folder / "table.csv").write_bytes(table)
    assert checks(invoke, folder)["data"]["level"] == "ok"
    toml = (folder / "node.toml").read_text()
    (folder / "node.toml").write_text(toml.replace(net.rpc_url, "http://127.0.0.1:1"))
    assert checks(invoke, folder, code=1)["chain"]["level"] == "fail"
    (folder / "node.toml").write_text(toml.replace("[serve]", "[server]"))
    assert set(checks(invoke, folder, code=1)) == {"node.toml"}


def test_the_doctor_changes_nothing(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    folder = make_node(net, tmp_path / "n", "untouched")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    head = ChainClient(net.rpc_url).head()
    checks(invoke, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert ChainClient(net.rpc_url).head() == head


def test_verify_finds_the_packaged_contracts_and_sends_nothing(invoke: Invoke, net: Net) -> None:
    head = ChainClient(net.rpc_url).head()
    result = invoke("deploy", "--verify", "--out", net.deployment, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["sound"] is True
    for name, one in report["contracts"].items():
        recorded = Deployment.load(net.deployment).contracts[name]
        assert one["found"] == one["expected"] == recorded.code_hash
    assert ChainClient(net.rpc_url).head() == head
    assert "as packaged" in invoke("deploy", "--verify", "--out", net.deployment).stdout


def changed_deployment(net: Net, path: Path, name: str, **changes: str) -> Path:
    document = json.loads(net.deployment.read_text())
    document["contracts"][name].update(changes)
    path.write_text(json.dumps(document))
    return path


def test_verify_fails_where_the_code_is_another_contract_s(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    other = Deployment.load(net.deployment).contracts["InferenceRouter"]
    path = changed_deployment(
        net, tmp_path / "d.json", "UplinkLedger", address=other.address, code_hash=other.code_hash
    )  # recorded consistently: only the packaged artifact tells
    result = invoke("deploy", "--verify", "--out", path, "--json")
    assert result.exit_code == 4
    report = json.loads(result.stdout)
    assert report["sound"] is False
    assert "is not what this version of fedchain deploys" in report["contracts"]["UplinkLedger"]["problem"]
    assert result.stderr.startswith("error: contract ")
    folder = make_node(net, tmp_path / "n", "deceived")
    shutil.copy(path, folder / "deployment.json")
    toml = folder / "node.toml"
    toml.write_text(toml.read_text().replace(str(net.deployment), "deployment.json"))
    assert checks(invoke, folder, code=1)["contracts"]["level"] == "fail"


def test_verify_fails_without_code_and_with_another_constructor_argument(
    invoke: Invoke, net: Net, tmp_path: Path
) -> None:
    nowhere = changed_deployment(net, tmp_path / "a.json", "ContributionLedger", address="0x" + "11" * 20)
    assert "there is no code" in invoke("deploy", "--verify", "--out", nowhere).stderr
    document = json.loads(net.deployment.read_text())
    document["deployer"] = dev_accounts(9)[8].address  # written into the code of those that it wires
    (tmp_path / "b.json").write_text(json.dumps(document))
    result = invoke("deploy", "--verify", "--out", tmp_path / "b.json", "--json")
    bad = {name for name, one in json.loads(result.stdout)["contracts"].items() if one["problem"]}
    assert bad == {"ParticipantRegistry", "Directory", "AnomalyRecord", "JobManager", "UplinkLedger"}
    assert result.exit_code == 4


def test_verify_takes_no_account(invoke: Invoke, net: Net) -> None:
    assert_one_line(invoke("deploy", "--verify", "--out", net.deployment, "--dev-account", 0), 2, "sends nothing")


def test_a_running_node_is_backed_up_and_its_copy_goes_on_after_it(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    folder = make_node(net, tmp_path / "n", "kept")
    address = json.loads(invoke("node", "register", folder, "--json").stdout)["address"]
    net.consortium(0).accredit(address)
    secret = tmp_path / "secret"
    secret.write_text("a dozen letters\n")
    archive, there = tmp_path / "n.backup", tmp_path / "there"
    with running(folder):
        made = invoke("node", "backup", folder, archive, "--passphrase-file", secret, "--json")
    assert made.exit_code == 0, made.output
    assert "passphrase" not in json.loads(made.stdout)["files"]
    restored = invoke("node", "restore", archive, there, "--passphrase-file", secret)
    assert restored.exit_code == 0, restored.output
    assert "put the keystore's passphrase back" in restored.stderr
    for name in ("passphrase", "table.csv"):
        shutil.copy2(folder / name, there / name)
    shutil.rmtree(folder)
    assert checks(invoke, there)["registry"]["level"] == "ok"
    with running(there) as node:
        assert node.address == address


# -- rotate ------------------------------------------------------------------------------------------------------------


def rotated(invoke: Invoke, folder: Path) -> dict[str, Any]:
    result = invoke("node", "rotate", "certificate", folder, "--json")
    assert result.exit_code == 0, result.output
    assert "PRIVATE" not in result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_a_certificate_is_replaced_before_the_registration_stopped_and_running(
    invoke: Invoke, net: Net, tmp_path: Path
) -> None:
    folder = make_node(net, tmp_path / "n", "rotates")
    fresh = rotated(invoke, folder)
    assert (fresh["registered"], fresh["overlap_seconds"]) == (False, 0.0)
    entered = json.loads(invoke("node", "register", folder, "--json").stdout)
    assert entered["fingerprint"] == fresh["fingerprint"]
    net.consortium(0).accredit(entered["address"])

    stopped = rotated(invoke, folder)
    assert (stopped["earlier"], stopped["registered"]) == (fresh["fingerprint"], True)
    entry = net.consortium(0).participant(entered["address"])
    assert "0x" + entry.fingerprint.hex() == stopped["fingerprint"]
    assert (entry.endpoint, entry.status) == (entered["endpoint"], Status.ACCREDITED)

    with running(folder) as node:
        found = checks(invoke, folder)
        assert found["served certificate"]["level"] == "ok", found["served certificate"]
        live = rotated(invoke, folder)
        assert live["earlier"] == stopped["fingerprint"]
        assert "0x" + node.identity.fingerprint.hex() == live["fingerprint"]
        deadline = time.monotonic() + 30
        while invoke("node", "doctor", folder).exit_code and time.monotonic() < deadline:
            time.sleep(0.1)  # until the node has read its own change
        for name in ("certificate", "registered certificate", "served certificate"):
            one = checks(invoke, folder)[name]
            assert one["level"] == "ok", one
        assert live["fingerprint"] in checks(invoke, folder)["served certificate"]["found"]
        for_people = invoke("node", "rotate", "certificate", folder)
        assert for_people.exit_code == 0
        assert "make a new backup" in for_people.stderr
    assert checks(invoke, folder)["registered certificate"]["level"] == "ok"


def test_the_doctor_tells_a_stored_certificate_that_the_running_node_does_not_have(
    invoke: Invoke, net: Net, tmp_path: Path
) -> None:
    folder = make_node(net, tmp_path / "n", "differs")
    net.consortium(0).accredit(json.loads(invoke("node", "register", folder, "--json").stdout)["address"])
    with running(folder):
        for name in ("certificate.pem", "certificate.key"):
            (folder / name).unlink()
        Identity.create("differs").save(folder / "certificate.pem", folder / "certificate.key")
        found = checks(invoke, folder, code=1)
        assert found["registered certificate"]["level"] == "fail"
        assert "does not know the stored one" in found["served certificate"]["found"]
        assert "restart the node" in found["served certificate"]["fix"]


def test_the_doctor_tells_another_node_at_the_registered_endpoint(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    folder, other = (make_node(net, tmp_path / name, name) for name in ("here", "elsewhere"))
    for one in (folder, other):
        net.consortium(0).accredit(json.loads(invoke("node", "register", one, "--json").stdout)["address"])
    with running(folder) as node, running(other) as impostor:
        consortium = node.exchange.consortium
        consortium.set_service(impostor.exchange.endpoint, node.identity.certificate)
        found = checks(invoke, folder, code=1)["served certificate"]
        assert "has not the certificate of the registry" in found["found"]
        consortium.set_service("127.0.0.1:1", node.identity.certificate)
        assert checks(invoke, folder)["served certificate"]["level"] == "warn"


def test_a_backup_of_before_a_rotation_is_rotated_again_before_it_runs(
    invoke: Invoke, net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDCHAIN_BACKUP_PASSPHRASE", "a dozen letters")
    folder, there = make_node(net, tmp_path / "n", "comes-back"), tmp_path / "there"
    address = json.loads(invoke("node", "register", folder, "--json").stdout)["address"]
    net.consortium(0).accredit(address)
    assert invoke("node", "backup", folder, tmp_path / "old").exit_code == 0
    first = rotated(invoke, folder)
    assert invoke("node", "restore", tmp_path / "old", there).exit_code == 0
    for name in ("passphrase", "table.csv"):
        shutil.copy2(folder / name, there / name)
    shutil.rmtree(folder)
    assert checks(invoke, there)["registered certificate"]["level"] == "warn"
    second = rotated(invoke, there)
    assert second["earlier"] == first["fingerprint"]
    with running(there) as node:
        assert "0x" + node.identity.fingerprint.hex() == second["fingerprint"]
        assert invoke("node", "backup", there, tmp_path / "new").exit_code == 0
    assert invoke("node", "restore", tmp_path / "new", tmp_path / "again").exit_code == 0
    assert (
        Identity.load(tmp_path / "again" / "certificate.pem", tmp_path / "again" / "certificate.key") == node.identity
    )


def test_a_passphrase_is_replaced_and_never_printed(
    invoke: Invoke, net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = Account.replace_keystore
    monkeypatch.setattr(
        Account, "replace_keystore", lambda self, path, phrase, **_: replace(self, path, phrase, iterations=2)
    )
    folder = make_node(net, tmp_path / "n", "locks", funded=False)
    done = invoke("node", "rotate", "passphrase", folder, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    new = (folder / "passphrase").read_text().strip()
    assert (report["address"], report["generated"]) == (
        Account.from_keystore(folder / "keystore.json", new).address,
        True,
    )
    chosen = tmp_path / "chosen"
    chosen.write_text("another dozen letters\n")
    assert_one_line(
        invoke("node", "rotate", "passphrase", folder, "--new-passphrase-file", chosen), 2, "others may read it"
    )
    chosen.chmod(0o600)
    for_people = invoke("node", "rotate", "passphrase", folder, "--new-passphrase-file", chosen)
    assert for_people.exit_code == 0, for_people.output
    assert (folder / "passphrase").read_text() == "another dozen letters\n"
    assert checks(invoke, folder)["keystore"]["level"] == "ok"
    for text in (new, "another dozen letters"):
        assert text not in done.output + for_people.output


def test_rotating_without_a_chain_is_one_line(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    folder = make_node(net, tmp_path / "n", "offline", funded=False)
    toml = folder / "node.toml"
    toml.write_text(toml.read_text().replace(net.rpc_url, "http://127.0.0.1:1"))
    before = sorted(path.name for path in folder.iterdir())
    assert_one_line(invoke("node", "rotate", "certificate", folder), 4, "127.0.0.1:1")
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_registration_that_fails_says_what_to_do_and_can_be_repeated(
    invoke: Invoke, net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_node(net, tmp_path / "n", "unlucky")
    first = json.loads(invoke("node", "register", folder, "--json").stdout)["fingerprint"]

    def away(*_: object) -> None:
        raise ChainUnreachableError("nothing answers")

    with monkeypatch.context() as patch:
        patch.setattr(Consortium, "set_service", away)
        failed = invoke("node", "rotate", "certificate", folder)
    assert failed.exit_code == 4
    assert "run this again, or start the node" in failed.stderr
    assert "rotate certificate" in checks(invoke, folder)["certificate"]["fix"]
    done = rotated(invoke, folder)
    assert done["earlier"] == first
    assert checks(invoke, folder)["certificate"]["level"] == "ok"


def test_the_archive_s_passphrase_may_come_from_the_environment(
    invoke: Invoke, net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_node(net, tmp_path / "n", "by-env", funded=False)
    assert_one_line(invoke("node", "backup", folder, tmp_path / "b"), 2, "FEDCHAIN_BACKUP_PASSPHRASE")
    monkeypatch.setenv("FEDCHAIN_BACKUP_PASSPHRASE", "a dozen letters")
    assert invoke("node", "backup", folder, tmp_path / "b").exit_code == 0
    monkeypatch.setenv("FEDCHAIN_BACKUP_PASSPHRASE", "another dozen")
    assert_one_line(invoke("node", "restore", tmp_path / "b", tmp_path / "t"), 2, "the passphrase does not open it")
