"""Alignments whose cached sets are on the disk: processes that are killed, and jobs at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fedchain.alignment import cachedset
from fedchain.alignment.psi import Aligned
from fedchain.crypto import psi
from fedchain.crypto.points import PointArray
from fedchain.node.journal import Journal
from fedchain.node.sections import AlignmentSection
from fedchain.node.setepochs import SetEpochs
from fedchain.protocol import Action, Party
from fedchain.simulation.channel import Channel, Kills
from fedchain.types import JobId, PartyId
from tests.unit.alignment.cached_pair import ASKER, HOLDER, Pair

LARGE = [f"id-{number:02d}" for number in range(20)]
SMALL = ["id-03", "id-19", "id-07", "other", "id-00"]
COMMON = ("id-00", "id-03", "id-07", "id-19")


class DiskPair(Pair):
    """Both sides with the stores of nodes; `restart` is what a new process finds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.epochs: dict[PartyId, SetEpochs] = {}
        for me in (HOLDER, ASKER):
            self.restart(me)

    def restart(self, me: PartyId) -> None:
        self.epochs[me] = SetEpochs(self.folder / me, AlignmentSection(hold_cached_sets=True))

    def of_job(self, job: int) -> dict[PartyId, Party[Aligned]]:
        return {me: self.one(me, job) for me in (HOLDER, ASKER)}

    def one(self, me: PartyId, job: int) -> Party[Aligned]:
        journal = Journal(self.folder / me / "jobs" / str(job) / "journal")
        self.sets = {me: self.epochs[me].of_job(JobId(f"0x{job}"), journal)}  # type: ignore[dict-item]
        return self.party(me, LARGE if me == HOLDER else SMALL, job)


@pytest.mark.parametrize("who", [HOLDER, ASKER])
def test_a_process_that_is_killed_at_any_action_goes_on_with_its_epoch(
    who: PartyId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cachedset, "PART_IDS", 6)
    for at in range(0, 30, 2):
        pair = DiskPair(tmp_path / str(at))

        def again(name: PartyId, pair: DiskPair = pair) -> Party[Aligned]:
            pair.restart(name)
            return pair.one(name, 1)

        def when(name: PartyId, number: int, action: Action, at: int = at) -> bool:
            return name == who and number == at

        ends = Channel(kills=Kills(when, again)).run(pair.of_job(1))
        assert {one.ids for one in ends.values()} == {COMMON}
        (epoch,) = pair.epochs[HOLDER].epochs()
        assert (epoch.ids, epoch.is_whole, epoch.jobs) == (20, True, ("0x1",))
        assert len(list((pair.folder / ASKER / "cached" / "held" / HOLDER).iterdir())) == 1


def test_jobs_at_the_same_time_make_one_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair, counts, lock = DiskPair(tmp_path), [0], threading.Lock()
    hash_all = psi.hash_to_curve

    def counting(ids: list[bytes], *rest: Any) -> PointArray:
        with lock:
            counts[0] += len(ids)
        return hash_all(ids, *rest)

    monkeypatch.setattr(psi, "hash_to_curve", counting)
    jobs = [pair.of_job(job) for job in (1, 2, 3)]
    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(lambda parties: Channel().run(parties), jobs))
    assert {one.ids for end in ends for one in end.values()} == {COMMON}
    assert counts[0] == len(LARGE) + 3 * len(SMALL)
    assert len(pair.epochs[HOLDER].epochs()) == 1
