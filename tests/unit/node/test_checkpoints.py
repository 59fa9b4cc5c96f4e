"""Where a node finds the model that a job continues."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fedchain.errors import CheckpointError, ModelFormatError
from fedchain.federation.spec import JobSpec
from fedchain.model.shard import Shard
from fedchain.node.checkpoints import find_checkpoint
from tests.protocol.cases import spec_of

MODEL = "ab" * 32


def shard(**changes: Any) -> Shard:
    fields: dict[str, Any] = {
        "party": "bank", "roster": ("operator", "bank"), "mode": "standard", "objective": "binary",
        "base_margins": (), "binning": {"features": []}, "trees": (),
    }  # fmt: skip
    return Shard(**(fields | changes))


def warm(model: str | None = MODEL) -> JobSpec:
    document = spec_of(("operator", "bank")).model_dump(mode="json", by_alias=True) | {"warm_start": {"model": model}}
    return JobSpec._validate(document, "test")


def keep(state: Path, number: int, report: dict[str, Any] | str, content: bytes) -> Path:
    """A finished job's folder, as far as a checkpoint goes."""
    folder = state / "jobs" / f"0x{number:064x}"
    folder.mkdir(parents=True)
    (folder / "shard").write_bytes(content)
    (folder / "report.json").write_text(report if isinstance(report, str) else json.dumps(report))
    return folder


def test_a_job_that_starts_from_nothing_has_no_checkpoint(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path, warm(None)) is None


def test_the_shard_of_the_job_that_ended_with_the_model_is_found_among_others(tmp_path: Path) -> None:
    one, other = shard(), shard(mode="mix")
    keep(tmp_path, 1, "{", b"damaged report")
    keep(tmp_path, 2, {"model_digest": "", "shard_digest": other.digest().hex()}, other.to_bytes())
    keep(tmp_path, 3, {"model_digest": "cd" * 32, "shard_digest": other.digest().hex()}, other.to_bytes())
    keep(tmp_path, 4, {"model_digest": MODEL, "shard_digest": one.digest().hex()}, one.to_bytes())
    (tmp_path / "jobs" / "0xodd").mkdir()
    (tmp_path / "jobs" / "0xodd" / "report.json").write_text("{}")
    assert find_checkpoint(tmp_path, warm()) == one


def test_a_model_that_no_job_ended_with_is_a_clear_error(tmp_path: Path) -> None:
    words = f"continues model {MODEL}, and no finished job under .*jobs ended with it"
    with pytest.raises(CheckpointError, match=words):
        find_checkpoint(tmp_path, warm())
    keep(tmp_path, 1, {"model_digest": "cd" * 32}, b"")
    with pytest.raises(CheckpointError, match=words):
        find_checkpoint(tmp_path, warm())


def test_a_shard_that_is_not_the_one_of_the_report_is_refused(tmp_path: Path) -> None:
    one = shard()
    folder = keep(tmp_path, 1, {"model_digest": MODEL, "shard_digest": one.digest().hex()}, one.to_bytes()[:-1])
    with pytest.raises(ModelFormatError, match="not readable"):
        find_checkpoint(tmp_path, warm())
    msgspec.structs.replace(one, mode="mix").save(folder / "shard")
    with pytest.raises(ModelFormatError, match="is not the shard that the job ended with"):
        find_checkpoint(tmp_path, warm())
