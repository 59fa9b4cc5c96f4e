"""What a node tells while it works: log lines with job, round and uplink, metrics; and never a secret."""

from __future__ import annotations

import base64
import csv
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import Account
from fedchain.federation.session import Session
from fedchain.node.config import load_config
from tests.second_opinion import private_key

from . import test_nodes
from .conftest import Invoke, Net
from .test_nodes import Start, first_object, wait_until, write_tables

started = test_nodes.start
"""The fixture."""

JOB = """\
name = "told"
[algorithm]
trees = 2
depth = 3
bins = 8
min_bin_rows = 0
min_leaf_rows = 0
[alignment]
min_rows = 20
[policy]
deadline_seconds = 60.0
consumption = "CONSUMPTION"
[[parties]]
name = "shop-NUMBER"
role = "active"
label = "churned"
[[parties]]
name = "bank-NUMBER"
role = "passive"
"""


def scraped(url: str) -> dict[str, float]:
    """Samples of a page of metrics."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def forms(secret: bytes) -> set[str]:
    """How bytes may look in a log line."""
    return {secret.hex(), secret.hex().upper(), base64.b64encode(secret).decode(), repr(secret)[2:-1]}


@pytest.mark.parametrize(
    ("number", "consumption"), [pytest.param(1, "strict", marks=pytest.mark.soak), (2, "pipelined")]
)
def test_a_job_is_logged_with_its_context_counted_and_no_secret_is_told(
    invoke: Invoke,
    started: Start,
    net: Net,
    tmp_path: Path,
    number: int,
    consumption: str,
) -> None:
    write_tables(tmp_path)
    (tmp_path / "job.toml").write_text(JOB.replace("CONSUMPTION", consumption).replace("NUMBER", str(number)))
    names = (f"shop-{number}", f"bank-{number}")
    for name in names:
        table = tmp_path / f"{name.partition('-')[0]}.csv"
        assert invoke("node", "init", tmp_path / name, "--name", name, "--data", table).exit_code == 0
        toml = tmp_path / name / "node.toml"
        toml.write_text(toml.read_text().replace("# port = 9464 ", "port = 0 #"))
        process = started("--log-json", "--log-level", "debug", "node", "run", tmp_path / name, "--json")
        wait_until(lambda name=name: net.consortium(0).address_of(name) is not None)  # type: ignore[misc]
        address = net.consortium(0).address_of(name)
        assert invoke("steward", "accredit", address).exit_code == 0
        assert first_object(process)["address"] == address
    job_id = invoke("job", "submit", tmp_path / "job.toml", "--node", tmp_path / names[0]).stdout.strip()
    assert invoke("job", "watch", job_id, "--timeout", 100).exit_code == 0
    assert invoke("predict", job_id, "--node", tmp_path / names[1], "--rows", "0,1").exit_code == 0

    logs = [path.read_text() for path in sorted(tmp_path.glob("*.err"))]
    lines = [[json.loads(line) for line in log.splitlines() if line.startswith("{")] for log in logs]
    assert all(lines)
    _check_context(lines, job_id)
    _check_secrets("\n".join(logs), [tmp_path / name for name in names])
    _check_metrics(lines)


def _check_context(lines: list[list[dict[str, Any]]], job_id: str) -> None:
    for told in lines:
        judged = [line for line in told if line["event"] == "uplink judged"]
        assert {(line["job"], line["verdict"]) for line in judged} == {(job_id, "ACCEPTED")}
        assert all(line["uplink"].startswith("0x") and len(line["uplink"]) == 66 for line in judged)
        assert {1, 2} <= {line["round"] for line in judged}
        assert {line["attempt"] for line in judged} == {0}
        assert any(line["event"] == "job completed" and line["job"] == job_id for line in told)
        assert all(line.get("job") == job_id for line in told if "round" in line)
        asked = [line for line in judged if line.get("request") is not None]
        assert asked
        assert {line["request"] for line in asked} == {line["round"] for line in asked}


def _check_secrets(text: str, folders: list[Path]) -> None:
    secrets: set[str] = set()
    for folder in folders:
        config = load_config(folder / "node.toml")
        account = Account.from_keystore(config.keys.keystore, config.passphrase())
        (job,) = (config.state.folder / "jobs").iterdir()
        session = Session.load(job / "session")
        assert config.data.path is not None
        with config.data.path.open() as file:
            ids = {f'"{row["id"]}"' for row in csv.DictReader(file)}
        secrets |= {config.passphrase(), *ids} | forms(session.keys.private) | forms(private_key(account))
        pem = config.keys.certificate_key.read_text().splitlines()
        secrets |= {line for line in pem if len(line) > 40}
    assert len(secrets) > 100
    assert [secret for secret in secrets if secret in text] == []


def _check_metrics(lines: list[list[dict[str, Any]]]) -> None:
    pages = [scraped(line["url"]) for told in lines for line in told if line["event"] == "metrics are served"]
    active, passive = pages
    for page in pages:
        assert page["fedchain_rounds_total"] == 2
        assert page["fedchain_rollbacks_total"] == page["fedchain_reorganisations_total"] == 0
        assert page['fedchain_jobs{status="completed"}'] == 1
        assert page["fedchain_chain_height"] > 10
        assert page["fedchain_chain_lag_blocks"] <= 2
        assert page["fedchain_verdict_seconds_count"] > 3
        assert page['fedchain_wait_seconds_count{about="mining"}'] > 5
        assert page["fedchain_outbox_transactions"] == 0
    mine = 'fedchain_uplinks_total{kind="gradients",sender="%s",verdict="accepted"}'
    assert active[mine % "me"] == passive[mine % "peer"] == 2
    operations = 'fedchain_ciphertext_operations_total{operation="%s"}'
    assert active[operations % "encrypt"] > 0 < active[operations % "decrypt"]
    assert passive[operations % "add"] > 0
