"""`fedchain bench exchange`: a small run from end to end, and the pieces it is put together from."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fedchain.bench.exchange import ExchangeBench, run, write_table
from fedchain.bench.exchange_child import Child
from fedchain.bench.exchange_job import cpu_seconds_of
from fedchain.bench.jobs import job
from fedchain.bench.synthetic import Synthetic
from fedchain.errors import ConfigError, FedchainError
from fedchain.federation.tables import read_party_table

SMALL = ExchangeBench(
    Synthetic(400, 2, (3,)),
    mode="pipelined",
    chain="embedded",
    depth=2,
    trees=2,
    bins=8,
    payload_bytes=10**6,
    repeats=2,
)


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A node's socket needs a short path."""
    with tempfile.TemporaryDirectory(prefix="fc-", dir="/tmp") as folder:
        yield Path(folder)


def test_report_of_a_small_run_holds_together(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(short_folder))
    lines: list[str] = []
    report = run(SMALL, lines.append)
    metrics, settings = report.metrics, report.settings
    closes, simulated = settings["closes_chain"], settings["closes_simulated"]
    assert isinstance(closes, list)
    assert isinstance(simulated, list)
    assert [len(closes), len(simulated)] == [2, 3]
    ratios = []
    for run_closes, before, after in zip(closes, simulated, simulated[1:], strict=False):
        assert sorted(run_closes) == run_closes
        ratios.append(run_closes[-1] / ((before[-1] + after[-1]) / 2))
    assert metrics["overhead_ratio_least"] == pytest.approx(min(ratios), rel=0.02)
    assert metrics["overhead_ratio_largest"] == pytest.approx(max(ratios), rel=0.02)
    assert metrics["overhead_ratio"] == pytest.approx(sum(ratios) / 2, rel=0.02)
    assert (closes[0][-1] + closes[1][-1]) / 2 == pytest.approx(metrics["seconds_chain"], abs=0.002)
    # each round is begun by one transaction and committed by one of each party
    assert metrics["transactions_per_tree"] == metrics["blocks_per_tree"] == 3
    assert metrics["uplinks_per_tree"] > 4
    assert metrics["payload_mb_per_tree"] > 320 * 3 * 33 / 1e6  # the ciphertexts of 320 rows and more
    for name in ("uplinks_per_second", "payload_mb_per_second", "delivery_mb_per_second", "tls_mb_per_second"):
        assert metrics[name] > 0
    assert "added_block_times_per_tree" not in metrics
    assert len(str(settings["model_digest"])) == 64
    assert "over the chain: tree 2 of 2" in lines
    assert list(short_folder.iterdir()) == []  # nothing is left behind


def test_settings_out_of_range_are_errors_before_anything_is_started() -> None:
    for change, words in (
        ({"mode": "loose"}, "strict or pipelined"),
        ({"chain": "besu"}, "embedded, anvil, ganache"),
        ({"payload_bytes": 0}, "1 to 1000 MB"),
        ({"depth": 0}, "algorithm.depth"),
        ({"repeats": 0}, "1 to 100"),
    ):
        with pytest.raises(ConfigError, match=words):
            run(replace(SMALL, **change))


def test_a_written_table_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    spec = job(SMALL.source, {}, 42)
    for name, table in SMALL.source.tables(spec).items():
        write_table(table, tmp_path / name)
        again = read_party_table(tmp_path / name, spec, name)
        assert again.ids == table.ids
        for one, other in zip(again.columns, table.columns, strict=True):
            np.testing.assert_array_equal(one.values, other.values)
        if table.label is not None:
            assert again.label is not None
            np.testing.assert_array_equal(again.label, table.label)


def test_a_child_answers_tells_of_errors_and_ends_with_its_pipe(tmp_path: Path) -> None:
    with Child("fedchain.bench.exchange_peer", tmp_path / "log") as child:
        assert child.ask("listen")["port"] > 0
        with pytest.raises(FedchainError, match="'fetch': AttributeError"):
            child.ask("fetch", digest="", size=1, sender="", culprit="")
        process = child._process
    assert process.returncode == 0


def test_a_child_that_ended_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with Child("fedchain.bench.no_such_module", tmp_path / "log") as child:
        child._process.wait(30)
        with pytest.raises(FedchainError, match="No module named"):
            child.ask("listen")


def test_processor_time_of_a_process_grows_with_what_it_does() -> None:
    before = cpu_seconds_of(os.getpid())
    if before is None:
        pytest.skip("no /proc here")
    ends = time.process_time() + 0.2
    while time.process_time() < ends:
        pass
    after = cpu_seconds_of(os.getpid())
    assert after is not None
    assert 0.1 < after - before < 5
    assert cpu_seconds_of(2**30) is None
