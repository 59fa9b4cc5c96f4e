"""A batch against a node of the test's: order, resumption, and what a run that ends early leaves."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fedchain.data import idfile
from fedchain.data.idrules import DEFAULT_RULES
from fedchain.errors import ConfigError, DataError, DeadlineError, MessageError
from fedchain.node.bulk.runner import BatchProgress, Flags, OpenedBatch, Scores, flags_text, run_batch
from fedchain.types import JobId

JOB = JobId("0x" + "ab" * 32)
ROWS, CHUNK = 23, 5


class Node:
    """Scores every id by its hash; those that begin with `9` it does not know."""

    def __init__(self, outputs: int = 1, fails_at: int | None = None) -> None:
        self.outputs, self.fails_at = outputs, fails_at
        self.job_id = JOB
        self.started: list[int] = []
        self.asked: list[tuple[int, list[str]]] = []
        self.ended: list[str] = []
        self._lock = threading.Lock()

    def open_batch(self, target: str) -> OpenedBatch:
        return OpenedBatch(self.job_id, None, DEFAULT_RULES, ("id",), self.outputs)

    def start_batch(self, job_id: JobId, rows: int) -> str:
        self.started.append(rows)
        return "batch"

    def score_batch(self, batch: str, offset: int, ids: Sequence[str]) -> tuple[Scores, Flags]:
        with self._lock:
            self.asked.append((offset, list(ids)))
        if self.fails_at is not None and offset >= self.fails_at:
            raise DeadlineError("party 'bank' did not answer in time", ("bank",))
        digests = np.array([list(hashlib.sha256(one.encode()).digest()[: self.outputs]) for one in ids])
        unknown = np.array([one.startswith("9") for one in ids])
        return np.where(unknown[:, np.newaxis], np.nan, digests / 256), np.where(unknown, 4, 0).astype(np.uint8)

    def end_batch(self, batch: str) -> None:
        self.ended.append(batch)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idfile, "CHUNK_ROWS", CHUNK)


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    path = tmp_path / "ids.csv"
    path.write_text("id,x\n" + "".join(f"{number},0\n" for number in range(ROWS)))
    return path


def test_every_row_is_scored_in_the_files_order(ids: Path, tmp_path: Path) -> None:
    out, node, seen = tmp_path / "scores.csv", Node(), list[BatchProgress]()
    summary = run_batch(node, "arrears", ids, out, on_progress=seen.append)
    lines = out.read_text().splitlines()
    assert lines[0] == "id,score,flags"
    assert [line.split(",")[0] for line in lines[1:]] == [str(number) for number in range(ROWS)]
    assert lines[10] == "9,,unknown_id"
    assert lines[1] == f"0,{hashlib.sha256(b'0').digest()[0] / 256!r},"
    assert (summary.rows, summary.asked, summary.unscored, summary.flagged) == (ROWS, ROWS, 1, {"unknown_id": 1})
    assert [one.done for one in seen] == [0, 5, 10, 15, 20, 23]
    assert (node.started, node.ended) == ([ROWS], ["batch"])
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("fails_at", [0, 5, 20])
def test_a_run_that_ended_early_is_taken_up_and_the_output_is_the_same(
    ids: Path, tmp_path: Path, suffix: str, fails_at: int
) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    whole, out = tmp_path / f"whole.{suffix}", tmp_path / f"out.{suffix}"
    run_batch(Node(2), "arrears", ids, whole)
    with pytest.raises(DeadlineError, match="'bank' did not answer"):
        run_batch(Node(2, fails_at), "arrears", ids, out)
    assert not out.exists()
    node, seen = Node(2), list[BatchProgress]()
    summary = run_batch(node, "arrears", ids, out, on_progress=seen.append)
    assert out.read_bytes() == whole.read_bytes()
    assert seen[0].done == seen[0].resumed == fails_at
    assert node.started == [ROWS - fails_at]
    assert sorted(node.asked)[0] == (0, [str(number) for number in range(fails_at, fails_at + 5)][: ROWS - fails_at])
    assert summary.asked == ROWS - fails_at
    assert summary.flagged == {"unknown_id": 1}


def test_killed_after_the_last_chunk_nothing_is_asked_again(
    ids: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run_batch(Node(), "arrears", ids, out)
    node = Node()
    run_batch(node, "arrears", ids, out)
    assert node.started == []
    assert len(out.read_text().splitlines()) == ROWS + 1


def test_another_file_of_ids_or_another_job_does_not_go_on_with_the_partial_file(ids: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(DeadlineError):
        run_batch(Node(fails_at=10), "arrears", ids, out)
    other = Node()
    other.job_id = JobId("0x" + "cd" * 32)
    with pytest.raises(ConfigError, match=r"out\.csv\.partial: is of another run \(another job\); remove it"):
        run_batch(other, "arrears", ids, out)
    ids.write_text(ids.read_text().replace("22,0", "22,1"))
    with pytest.raises(ConfigError, match=r"\(another input\)"):
        run_batch(Node(), "arrears", ids, out)


def test_no_more_than_two_chunks_are_asked_for_at_a_time(ids: Path, tmp_path: Path) -> None:
    class Counting(Node):
        now = most = 0
        both = threading.Barrier(2, timeout=30)

        def score_batch(self, batch: str, offset: int, ids: Sequence[str]) -> tuple[Scores, Flags]:
            with self._count:
                self.now += 1
                self.most = max(self.most, self.now)
            if offset < 2 * CHUNK:
                self.both.wait()  # breaks unless the first two are asked for at the same time
            try:
                return super().score_batch(batch, offset, ids)
            finally:
                with self._count:
                    self.now -= 1

        _count = threading.Lock()

    node = Counting()
    run_batch(node, "arrears", ids, tmp_path / "out.csv")
    assert node.most == 2


def test_an_empty_file_and_an_output_over_the_input_are_refused(ids: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is the file of ids"):
        run_batch(Node(), "arrears", ids, ids)
    ids.write_text("id\n")
    with pytest.raises(DataError, match="holds no rows"):
        run_batch(Node(), "arrears", ids, tmp_path / "out.csv")


def test_a_node_that_returns_too_few_scores_is_not_believed(ids: Path, tmp_path: Path) -> None:
    class Short(Node):
        def score_batch(self, batch: str, offset: int, ids: Sequence[str]) -> tuple[Scores, Flags]:
            scores, flags = super().score_batch(batch, offset, ids)
            return scores[1:], flags

    with pytest.raises(MessageError, match="4 scores for 5 ids"):
        run_batch(Short(), "arrears", ids, tmp_path / "out.csv")


def test_names_of_flags() -> None:
    assert flags_text(0) == ""
    assert flags_text(3) == "missing_party+silent_party"


def test_a_file_that_changes_while_it_is_read_gives_no_output(ids: Path, tmp_path: Path) -> None:
    out, raw = tmp_path / "scores.csv", ids.read_bytes()

    def rewritten(progress: BatchProgress) -> None:
        if progress.done == 0:  # it was measured, and not read yet; it keeps its size and rows
            ids.write_bytes(raw.replace(b"\n7,0\n", b"\n8,0\n"))

    with pytest.raises(DataError, match=r"changed while it was read; remove .*scores\.csv\S* and run again"):
        run_batch(Node(), "arrears", ids, out, on_progress=rewritten)
    assert not out.exists()
    with pytest.raises(ConfigError, match="another input"):
        run_batch(Node(), "arrears", ids, out)
