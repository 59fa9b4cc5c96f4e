"""Set epochs on the disk: one key for one set, one peer and some days; evaluations that are counted for good."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fedchain.alignment.shelf import Epoch
from fedchain.errors import AlignmentError, AlignmentPolicyError, ConfigError
from fedchain.federation.spec import JobSpec
from fedchain.node.evaluations import Evaluations
from fedchain.node.journal import Journal
from fedchain.node.sections import AlignmentSection
from fedchain.node.setepochs import SetEpochs
from fedchain.node.shelves import DiskShelf
from fedchain.types import JobId, PartyId

IDS = [f"id-{number}" for number in range(30)]
PEER, OTHER = PartyId("bank"), PartyId("shop")
DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Rig:
    """A node's epochs, opened anew as after a restart whenever they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder / "state", Clock()

    @property
    def epochs(self) -> SetEpochs:
        return SetEpochs(self.folder, AlignmentSection(epoch_days=7), self.clock)

    def epoch(
        self,
        job: str,
        ids: list[str] = IDS,
        peer: PartyId = PEER,
        pad_to: int | None = None,
        chunk_ids: int = 100,
    ) -> Epoch:
        journal = Journal(self.folder / "jobs" / job / "journal")
        return self.epochs.of_job(JobId(job), journal).own(peer, ids, pad_to, chunk_ids)[0]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_one_set_has_one_key_until_its_days_are_over_however_its_rows_are_ordered(rig: Rig) -> None:
    first = rig.epoch("0x1")
    rig.clock.now += 6.9 * DAY
    again = rig.epoch("0x2", [*reversed(IDS)])
    assert (again.secret, again.salt) == (first.secret, first.salt)
    rig.clock.now += 0.2 * DAY
    later = rig.epoch("0x3")
    assert not {later.secret, later.salt} & {first.secret, first.salt}


@pytest.mark.parametrize(
    "change",
    [
        lambda rig: rig.epoch("0x2", [*IDS, "new"]),
        lambda rig: rig.epoch("0x2", IDS[1:]),
        lambda rig: rig.epoch("0x2", [*IDS[1:], "other"]),
        lambda rig: rig.epoch("0x2", peer=OTHER),
        lambda rig: rig.epoch("0x2", pad_to=8),
        lambda rig: rig.epoch("0x2", chunk_ids=50),
    ],
)
def test_other_ids_another_peer_or_another_shape_have_another_key(rig: Rig, change: Callable[[Rig], Epoch]) -> None:
    first, second = rig.epoch("0x1"), change(rig)
    assert not {first.secret, first.salt} & {second.secret, second.salt}
    assert rig.epoch("0x3").salt == first.salt, "the first one goes on"


def test_a_clock_that_was_set_back_makes_no_key_live_longer(rig: Rig) -> None:
    first = rig.epoch("0x1")
    rig.clock.now -= 2 * 3600
    assert rig.epoch("0x2").salt != first.salt


def test_a_job_keeps_its_epoch_and_an_ended_one_goes_once_no_job_uses_it(rig: Rig) -> None:
    first = rig.epoch("0x1")
    rig.clock.now += 8 * DAY
    second = rig.epoch("0x2")
    assert rig.epoch("0x1").salt == first.salt, "though its days are over"
    own = rig.folder / "cached" / "own" / PEER
    assert {path.name for path in own.iterdir()} == {first.salt.hex(), second.salt.hex()}
    assert {use.salt: use.jobs for use in rig.epochs.epochs()} == {
        first.salt.hex(): ("0x1",),
        second.salt.hex(): ("0x2",),
    }
    rig.epochs.release(JobId("0x1"))
    assert {path.name for path in own.iterdir()} == {second.salt.hex()}
    with pytest.raises(AlignmentError, match=r"set epoch .* is gone, or of other ids"):
        rig.epoch("0x1")


def test_a_job_whose_ids_changed_over_a_restart_is_refused(rig: Rig) -> None:
    rig.epoch("0x1")
    with pytest.raises(AlignmentError, match="of other ids"):
        rig.epoch("0x1", IDS[1:])


def test_keys_and_sets_are_for_the_own_user_s_eyes_and_no_key_shows(rig: Rig) -> None:
    epoch = rig.epoch("0x1")
    epoch.shelf.put("tags_0", b"x")
    rig.epochs.hold(PEER, bytes(32)).put("tags_0", b"y")
    paths = [*(rig.folder / "cached").rglob("*")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o700}
    assert epoch.secret.hex() not in repr(epoch)
    assert repr(epoch.secret) not in repr(epoch)
    assert not [path for path in paths if epoch.secret.hex() in path.name]


def test_two_jobs_of_an_epoch_make_its_set_once(rig: Rig) -> None:
    epochs = rig.epochs
    both = [epochs.of_job(JobId(job), Journal(rig.folder / job)).own(PEER, IDS, None, 100)[0] for job in ("0x1", "0x2")]
    assert both[0].lock is both[1].lock


def test_a_damaged_key_is_named_and_not_replaced(rig: Rig) -> None:
    epoch = rig.epoch("0x1")
    path = rig.folder / "cached" / "own" / PEER / epoch.salt.hex() / "key"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(ConfigError, match=r"key: damaged; delete .*" + epoch.salt.hex()):
        rig.epoch("0x2")


def test_a_held_set_goes_once_it_was_not_used_for_an_epoch(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.epochs.hold(PEER, bytes(32)).put("tags_0", b"y")
    rig.epochs.hold(PEER, b"\1" * 32).put("tags_0", b"y")
    held = rig.folder / "cached" / "held" / PEER
    assert len([*held.iterdir()]) == 2
    import time

    now = time.time()
    monkeypatch.setattr("fedchain.node.setepochs.time.time", lambda: now + 8 * DAY)
    assert rig.epochs.hold(PEER, b"\1" * 32).get("tags_0") == b"y"
    assert [path.name for path in held.iterdir()] == ["01" * 32]


def test_a_node_holds_no_cached_set_unless_it_says_so() -> None:
    spec = JobSpec.from_toml_text(
        'schema = 1\nname = "j"\n[alignment]\ncached = "large"\n'
        '[[parties]]\nname = "large"\nrole = "active"\nlabel = "y"\n[[parties]]\nname = "bank"\nrole = "passive"\n'
    )
    unwilling = SetEpochs(Path("nowhere"), AlignmentSection())
    with pytest.raises(AlignmentPolicyError, match=r"hold_cached_sets of node.toml is false") as caught:
        unwilling.require_willing(spec, PartyId("large"))
    assert caught.value.peer == "bank"
    unwilling.require_willing(spec, PartyId("bank"))
    SetEpochs(Path("nowhere"), AlignmentSection(hold_cached_sets=True)).require_willing(spec, PartyId("large"))


# -- evaluations ------------------------------------------------------------------------------------------------------


def test_evaluations_are_capped_per_peer_and_a_restart_does_not_forget(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "state" / "evaluations.sqlite"

    def charge(job: str, ids: int, peer: PartyId = PEER) -> None:
        Evaluations(path, clock).charge(JobId(job), peer, ids, most=100, days=7)

    assert Evaluations(path, clock).used(PEER, 7) == 0
    assert not path.exists()
    charge("0x1", 60)
    charge("0x1", 60)  # the same job, after a restart
    assert Evaluations(path, clock).used(PEER, 7) == 60
    with pytest.raises(AlignmentPolicyError, match=r"party 'bank' asks .* 41 ids and had 60 .* is 100; wait"):
        charge("0x2", 41)
    charge("0x2", 40)
    charge("0x3", 100, OTHER)
    clock.now += 6.9 * DAY
    with pytest.raises(AlignmentPolicyError, match="had 100 evaluated within 7 days"):
        charge("0x4", 1)
    clock.now += 0.2 * DAY
    charge("0x4", 100)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_concurrent_jobs_never_get_more_than_the_cap(tmp_path: Path) -> None:
    path, begin = tmp_path / "evaluations.sqlite", threading.Barrier(8)

    def charge(number: int) -> int:
        evaluations = Evaluations(path)  # each like a process of its own: no lock is shared
        begin.wait()
        taken = 0
        for job in range(5):
            try:
                evaluations.charge(JobId(f"0x{number}{job}"), PEER, 7, most=100, days=1)
            except AlignmentPolicyError:
                continue
            taken += 7
        return taken

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(charge, range(8))) == 98
    assert Evaluations(path).used(PEER, 1) == 98


def test_where_evaluations_cannot_be_counted_none_is_made(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError, match="cannot be counted"):
        Evaluations(path).charge(JobId("0x1"), PEER, 1, most=10, days=1)


# -- shelves ----------------------------------------------------------------------------------------------------------


def test_a_shelf_gives_what_was_put_and_names_a_damaged_file(tmp_path: Path) -> None:
    shelf = DiskShelf(tmp_path / "a" / "b")
    assert shelf.get("tags_0") is None
    shelf.put("tags_0", b"one")
    shelf.put("tags_0", b"two")
    assert DiskShelf(tmp_path / "a" / "b").get("tags_0") == b"two"
    (tmp_path / "a" / "b" / "tags_1").write_bytes((tmp_path / "a" / "b" / "tags_0").read_bytes())
    with pytest.raises(ConfigError, match="tags_1: damaged"):
        shelf.get("tags_1")
    shelf.drop("tags_0")
    shelf.drop("tags_0")
    assert shelf.get("tags_0") is None
    with pytest.raises(ValueError, match="a-z, 0-9 and _"):
        shelf.get("../key")
