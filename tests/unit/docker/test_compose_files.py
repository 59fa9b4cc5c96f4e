"""What the compose files promise: no rights that are not needed, no secret, keys with their owners alone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fedchain.chain.besu import DEFAULT_HOSTS, P2P_PORT
from fedchain.federation.spec import JobSpec
from tests.unit.docker.files import COMPOSE_FILES, DOCKER, ROOT, compose, mounts

NAMES = [path.name.split(".")[1] for path in COMPOSE_FILES]
DEV, BESU = compose("dev"), compose("besu")
VALIDATORS = {name: one for name, one in BESU["services"].items() if name.startswith("validator-")}
PARTIES = {"operator": "operator", "media-partner": "media_partner", "bank-partner": "bank_partner"}


def services(names: list[str] = NAMES) -> list[Any]:
    return [
        pytest.param(one, id=f"{name}-{service}")
        for name in names
        for service, one in compose(name)["services"].items()
    ]


def is_ours(service: dict[str, Any]) -> bool:
    return str(service["image"]).startswith("${FEDCHAIN_IMAGE")


def test_there_are_two() -> None:
    assert NAMES == ["besu", "dev"]


@pytest.mark.parametrize("content", [DEV, BESU], ids=["dev", "besu"])
def test_docker_compose_1_29_reads_them(content: dict[str, Any]) -> None:
    assert content["version"] == "3.8"
    assert {key for key in content if not key.startswith("x-")} == {"version", "services", "networks", "volumes"}


@pytest.mark.parametrize("service", services())
def test_a_container_has_no_rights_that_it_does_not_need(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "network_mode", "pid", "ipc", "devices", "cap_add"} & set(service)
    if is_ours(service):
        assert service["read_only"] is True
        assert "user" not in service, "the image's own"
    for source, _ in mounts(service).values():
        assert "docker.sock" not in source


@pytest.mark.parametrize("service", services())
def test_nothing_is_reached_from_other_machines(service: dict[str, Any]) -> None:
    for port in service.get("ports", ()):
        assert str(port).startswith("127.0.0.1:")


@pytest.mark.parametrize("service", services())
def test_images_are_pinned_and_can_be_replaced(service: dict[str, Any]) -> None:
    match = re.fullmatch(r"\$\{[A-Z]+_IMAGE:-([a-z/]+):([a-z0-9.]+)\}", service["image"])
    assert match
    assert match[2] != "latest"


@pytest.mark.parametrize("service", services())
def test_no_secret_is_in_a_file_or_an_environment(service: dict[str, Any]) -> None:
    for key, value in (service.get("environment") or {}).items():
        if re.search("(?i)pass|secret|key|token", key):
            assert key.endswith("__FILE"), key
            assert str(value).startswith("/"), key
    assert not re.search(r"0x[0-9a-fA-F]{64}|--node-private-key[= ]|--passphrase ", str(service))


@pytest.mark.parametrize("content", [DEV, BESU], ids=["dev", "besu"])
def test_each_party_sees_its_own_table_and_state_alone(content: dict[str, Any]) -> None:
    for service, party in PARTIES.items():
        one = content["services"][service]
        seen = mounts(one)
        tables = {source for source, _ in seen.values() if source.endswith(".csv")}
        assert {source.rpartition("/")[2] for source in tables} == {f"{party}.csv"}
        assert seen[f"/data/{party}.csv"][1], "read-only"
        assert seen["/var/lib/fedchain"] == (service, False)
        assert seen["/deployment"] == ("deployment", True)
        assert one["environment"]["FEDCHAIN_NAME"] == party
        assert one["environment"]["FEDCHAIN_ENDPOINT"] == f"{service}:4433"
        assert one["environment"]["FEDCHAIN_DATA"] == f"/data/{party}.csv"
        others = [
            name for name, other in content["services"].items() if name != service and service in str(mounts(other))
        ]
        assert others == []


@pytest.mark.parametrize("content", [DEV, BESU], ids=["dev", "besu"])
def test_the_parties_are_those_of_the_telecom_job(content: dict[str, Any]) -> None:
    spec = JobSpec.from_toml(ROOT / "nodes" / "examples" / "telco" / "job.toml")
    assert set(spec.names) == set(PARTIES.values())
    (accreditation,) = (str(one) for name, one in content["services"].items() if name == "accreditation")
    *partners, last = re.findall(r"for name in ([\w ]+);", accreditation)[0].split()
    assert {*partners, last} == set(spec.names)
    assert last == "operator", "who waits until the operator is ready may submit a job"
    assert mounts(content["services"]["operator"])["/jobs"] == ("../nodes/examples", True)


@pytest.mark.parametrize("content", [DEV, BESU], ids=["dev", "besu"])
def test_everything_waits_for_what_it_needs(content: dict[str, Any]) -> None:
    def conditions(service: str) -> dict[str, str]:
        return {name: one["condition"] for name, one in content["services"][service]["depends_on"].items()}

    chains = ["chain"] if content is DEV else list(VALIDATORS)
    assert conditions("contracts") == dict.fromkeys(chains, "service_healthy")
    for service in PARTIES:
        assert conditions(service) == {"contracts": "service_completed_successfully"}
        check = content["services"][service]["healthcheck"]["test"]
        assert check == ["CMD", "fedchain", "node", "status", "--require", "registered"]
    assert conditions("accreditation") == dict.fromkeys(PARTIES, "service_healthy")
    for service in ("contracts", "accreditation"):
        assert content["services"][service]["healthcheck"] == {"disable": True}, "the image's is for nodes"
        assert content["services"][service]["restart"] == "on-failure"


def test_the_development_chain_keeps_its_state() -> None:
    chain = DEV["services"]["chain"]
    state = chain["command"][chain["command"].index("--state") + 1]
    assert mounts(chain)["/var/lib/fedchain"] == ("chain", False)
    assert state.startswith("/var/lib/fedchain/")
    assert set(DEV["volumes"]) == {"chain", "deployment", *PARTIES}


def test_there_are_four_validators_with_keys_of_their_own() -> None:
    assert len(VALIDATORS) == 4
    for number, (name, host) in enumerate(zip(VALIDATORS, DEFAULT_HOSTS, strict=True), start=1):
        one = VALIDATORS[name]
        assert name == f"validator-{number}"
        assert one["networks"]["consortium"]["ipv4_address"] == host
        assert one["environment"] == {"BESU_P2P_HOST": host}
        assert mounts(one) == {"/var/lib/validator": (name, False), "/network": ("network", True)}
        sees = [service for service, other in BESU["services"].items() if name in str(mounts(other))]
        assert sees == ["network", name]
        assert mounts(BESU["services"]["network"])[f"/validators/{number}"] == (name, False)


def test_the_stewards_key_is_with_whoever_deploys_and_accredits() -> None:
    sees = {name: mounts(one)["/steward"] for name, one in BESU["services"].items() if "/steward" in mounts(one)}
    assert sees == {
        "network": ("steward", False),
        "contracts": ("steward", True),
        "accreditation": ("steward", True),
    }


@pytest.mark.parametrize("name", VALIDATORS)
def test_gas_is_free_at_every_validator_and_strangers_stay_out(name: str) -> None:
    flags = dict(one[2:].split("=", 1) for one in VALIDATORS[name]["command"])
    assert flags["min-gas-price"] == "0"
    assert flags["permissions-nodes-config-file-enabled"] == "true"
    assert flags["permissions-nodes-config-file"] == "/network/permissions.toml"
    assert flags["static-nodes-file"] == "/network/static-nodes.json"
    assert flags["genesis-file"] == "/network/genesis.json"
    assert flags["node-private-key-file"] == "/var/lib/validator/key"
    assert flags["discovery-enabled"] == "false"
    assert int(flags["p2p-port"]) == P2P_PORT
    assert set(flags["rpc-http-api"].split(",")) == {"ETH", "NET", "WEB3", "QBFT"}, "nothing that administers it"
    assert set(VALIDATORS) <= set(flags["host-allowlist"].split(","))
    assert "*" not in flags["host-allowlist"]
    assert VALIDATORS[name]["user"] == "10001:10001"


def test_the_script_makes_what_the_validators_read() -> None:
    script = (DOCKER / "start-besu-network.sh").read_text(encoding="utf-8")
    assert "fedchain chain besu /network --keys /validators --prefund /steward/keystore.json" in script
    assert set(mounts(BESU["services"]["network"])) == {
        "/network", "/steward", "/grafana", *(f"/validators/{one}" for one in (1, 2, 3, 4))
    }  # fmt: skip
    dockerfile = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    for target in (*mounts(BESU["services"]["network"]), "/deployment", "/var/lib/fedchain"):
        assert f" {target} " in dockerfile.replace("\n", " "), f"{target}: a new volume takes its owner from the image"


def test_no_key_and_no_setting_of_a_site_is_committed() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "docker/.env" in ignored
    assert not [path for path in DOCKER.rglob("*") if path.name in ("key", "passphrase", "keystore.json")]
