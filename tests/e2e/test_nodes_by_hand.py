"""Nodes started by hand in separate folders, each with its own CSV only, over a chain process, and what goes wrong.

A job in which all goes well is the tutorial's: `test_pages.py`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fedchain.chain import ChainClient, Consortium, Deployment, UplinkJudged
from fedchain.data.builtin import BUILTIN_PARTIES, write_breast_cancer
from fedchain.types import Kind, Reason
from tests.e2e.federation import HandmadeFederation, run, wait_for

PARTIES = tuple(BUILTIN_PARTIES)
JOB = """
name = "by-hand"
[algorithm]
mode = "standard"
trees = {trees}
depth = 3
bins = {bins}
[alignment]
min_rows = 50
[policy]
deadline_seconds = {deadline}
max_payload_bytes = {max_payload_bytes}
[[parties]]
name = "operator"
role = "active"
label = "diagnosis"
positive = "malignant"
[[parties]]
name = "partner_a"
role = "passive"
[[parties]]
name = "partner_b"
role = "passive"
"""


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HandmadeFederation]:
    """Three parties over scikit-learn's table; `partner_b` has many noise columns besides."""
    folder, tables = tmp_path_factory.mktemp("federation"), tmp_path_factory.mktemp("tables")
    write_breast_cancer(tables)
    _add_noise_columns(tables / "partner_b.csv", 70)
    made = HandmadeFederation(folder, tables, PARTIES)
    yield made
    made.close()


def _add_noise_columns(path: Path, columns: int) -> None:
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    noise = np.random.default_rng(7).normal(size=(len(rows), columns)).round(4)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*header, *(f"noise_{i}" for i in range(columns))])
        writer.writerows([*row, *extra] for row, extra in zip(rows, noise.tolist(), strict=True))


def _job(folder: Path, name: str, *, trees: int = 3, bins: int = 8, deadline: int = 100, limit: int = 2**24) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(JOB.format(trees=trees, bins=bins, deadline=deadline, max_payload_bytes=limit))
    return path


def _uplinks(federation: HandmadeFederation, job: str) -> list[UplinkJudged]:
    with ChainClient(federation.rpc) as client:
        consortium = Consortium(client, Deployment.load(federation.folder / "deployment.json"))
        events = consortium.events(0, client.head())
    return [one for one in events if isinstance(one, UplinkJudged) and one.job_id == job]


def test_a_histogram_that_the_contract_would_reject_is_not_sent_and_nobody_grows_the_node(
    federation: HandmadeFederation,
) -> None:
    # the gradients of 390 rows fit into 128 KiB, the histogram of partner_b's 80 columns does not
    job = federation.submit(_job(federation.folder, "narrow", bins=32, limit=128 * 1024))
    run(*federation.chain_command("job", "watch", job), cwd=federation.folder, code=5)

    uplinks = _uplinks(federation, job)
    assert all(one.reason is Reason.ACCEPTED for one in uplinks)
    assert any(one.envelope.kind is Kind.GRADIENTS for one in uplinks)
    assert not any(one.envelope.kind in (Kind.SPLIT, Kind.PARTITION, Kind.LEAF_WEIGHTS) for one in uplinks)
    assert "above the job's max_payload_bytes" in federation.log("partner_b")
    assert "JobBoundError" in federation.log("operator")
    assert federation.status(job)["phase"] == "aborted"


def test_with_one_partner_stopped_no_tree_completes(federation: HandmadeFederation) -> None:
    job = federation.submit(_job(federation.folder, "stopped", trees=200, bins=16, deadline=10))
    wait_for(lambda: federation.status(job)["round"] >= 1, "training to begin")
    federation.kill("partner_b")
    begun = int(federation.status(job)["round"])
    run(*federation.chain_command("job", "watch", job), cwd=federation.folder, code=5)

    finished = {one.envelope.round for one in _uplinks(federation, job) if one.envelope.kind is Kind.LEAF_WEIGHTS}
    assert max(finished, default=0) <= begun
    assert len(finished) < 200
    assert "partner_b" in federation.log("operator")
