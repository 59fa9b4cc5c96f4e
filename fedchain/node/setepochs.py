"""This node's set epochs: keys and cached sets of its own, and the cached sets that it holds of its peers.

    <state>/cached/own/<peer>/<salt>/     key (the secret), the cached set, and a file job-<id> for each job that
                                          uses it
    <state>/cached/held/<peer>/<salt>/    what that peer has sent

All for this user's eyes alone; not in backups: a set is made or fetched again, under another key. An epoch is of one
peer, one set of ids, one padding and one size of chunks; it ends after `[alignment] epoch_days`, and for a job at once
where any of these has changed. A job keeps the epoch with which it began, however long it takes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import structlog

from fedchain.alignment.prints import IdPrints
from fedchain.alignment.shelf import Epoch, Shelf
from fedchain.errors import AlignmentError, AlignmentPolicyError, ConfigError
from fedchain.federation.spec import JobSpec
from fedchain.node.evaluations import DAY_SECONDS, EVALUATIONS, Evaluations
from fedchain.node.journal import Journal
from fedchain.node.sections import AlignmentSection
from fedchain.node.shelves import DiskShelf, make_private
from fedchain.types import JobId, PartyId

log = structlog.get_logger(__name__)

CACHED, OWN, HELD = "cached", "own", "held"
_KEY, _JOB, _USED = "key", "job-", "used"
_FUTURE_SECONDS = 3600.0
"""How far a clock may have been set back."""

Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class _Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A set epoch as it is kept."""

    secret: Bytes32
    salt: Bytes32
    began: float
    ids: Bytes32
    count: int
    pad_to: int | str | None
    chunk_ids: int

    def __repr__(self) -> str:
        return f"_Key(salt={self.salt.hex()})"


@dataclass(frozen=True)
class EpochUse:
    """A set epoch, for whoever looks.

    Attributes:
        peer: with whom.
        salt: names it, 64 hex digits; public.
        began, ends: seconds since 1970.
        ids: in the set, without padding.
        is_whole: whether the cached set is finished.
        jobs: that use it and have not ended.
    """

    peer: str
    salt: str
    began: float
    ends: float
    ids: int
    is_whole: bool
    jobs: tuple[str, ...]


class SetEpochs:
    """See the module. Safe to use from several threads.

    Args:
        state_folder: the node's.
        policy: `[alignment]` of node.toml.
        clock: seconds since 1970.
    """

    def __init__(self, state_folder: Path, policy: AlignmentSection, clock: Callable[[], float] = time.time) -> None:
        self._folder, self._policy, self._clock = state_folder / CACHED, policy, clock
        self._lock = threading.Lock()
        self._building: dict[bytes, threading.Lock] = {}
        self.evaluations = Evaluations(state_folder / EVALUATIONS, clock)

    def require_willing(self, spec: JobSpec, me: PartyId) -> None:
        """Refuse a job that wants a cached set of this node, unless node.toml allows it. To be asked before acceptance.

        Raises:
            AlignmentPolicyError: it is one; names the peer.
        """
        if spec.alignment.cached == me and not self._policy.hold_cached_sets:
            peer = next(name for name in spec.names if name != me)
            raise AlignmentPolicyError(
                peer,
                f"is in job '{spec.name}' that wants this node's cached set, and [alignment] hold_cached_sets of "
                "node.toml is false: under one key for days, that party could link jobs; set it to true, or remove "
                "[alignment] cached from the job",
            )

    def charge(self, job_id: JobId, peer: PartyId, ids: int) -> None:
        """Count a job's evaluations of a peer's ids.

        Raises:
            AlignmentPolicyError: there is no room for them in this epoch; names the peer.
        """
        policy = self._policy
        self.evaluations.charge(job_id, peer, ids, most=policy.max_evaluations_per_epoch, days=policy.epoch_days)

    def of_job(self, job_id: JobId, journal: Journal) -> JobSets:
        """What a job's party is lent."""
        return JobSets(self, job_id, journal)

    def release(self, job_id: JobId) -> None:
        """A job has ended: its epoch goes when its time has come."""
        for mark in self._folder.glob(f"{OWN}/*/*/{_JOB}{job_id}"):
            mark.unlink(missing_ok=True)
        self.sweep()

    def sweep(self) -> None:
        """Delete epochs that have ended and that no job uses, the key first. Damaged ones stay, for somebody to see."""
        with self._lock:
            for folder in self._folder.glob(f"{OWN}/*/*"):
                with contextlib.suppress(ConfigError):
                    key = self._read(folder)
                    if (key is None or not self._is_current(key)) and not any(folder.glob(f"{_JOB}*")):
                        (folder / _KEY).unlink(missing_ok=True)
                        DiskShelf(folder).forget()

    def epochs(self) -> list[EpochUse]:
        """This node's own epochs, oldest first.

        Raises:
            ConfigError: a key's file is damaged.
        """
        found = []
        for folder in self._folder.glob(f"{OWN}/*/*"):
            key = self._read(folder)
            if key is not None:
                jobs = tuple(sorted(mark.name.removeprefix(_JOB) for mark in folder.glob(f"{_JOB}*")))
                is_whole = (folder / "manifest").exists()
                ends = key.began + self._policy.epoch_days * DAY_SECONDS
                found.append(EpochUse(folder.parent.name, key.salt.hex(), key.began, ends, key.count, is_whole, jobs))
        return sorted(found, key=lambda one: one.began)

    # -- the own set ------------------------------------------------------------------------------------------------

    def choose(
        self,
        job_id: JobId,
        pinned: bytes | None,
        peer: PartyId,
        ids: Sequence[str],
        pad_to: int | str | None,
        chunk_ids: int,
    ) -> tuple[Epoch, IdPrints]:
        """The epoch that a job began with, one that has not ended and fits, or a new one.

        Raises:
            AlignmentError: the one that the job began with is gone, or is of other ids.
            ConfigError: a key's file is damaged.
        """
        with self._lock:
            own = self._folder / OWN / peer
            if pinned is not None:
                key = self._read(own / pinned.hex())
                prints = None if key is None else IdPrints(ids, key.secret)
                if key is None or prints is None or prints.digest != key.ids:
                    raise AlignmentError(
                        f"the set epoch {pinned.hex()} with which this job began is gone, or of other ids; abort the "
                        "job and submit it again"
                    )
                return self._use(own / pinned.hex(), key, job_id), prints
            why = "there is none yet"
            for folder in sorted(own.glob("*")):
                key = self._read(folder)
                if key is None or not self._is_current(key):
                    why = "the last one has ended"
                    continue
                if (key.pad_to, key.chunk_ids) != (pad_to, chunk_ids):
                    continue
                prints = IdPrints(ids, key.secret)
                if prints.digest == key.ids:
                    return self._use(folder, key, job_id), prints
                why = "the table's ids have changed"
            return self._begin(own, peer, job_id, ids, pad_to, chunk_ids, why)

    def _begin(
        self,
        own: Path,
        peer: PartyId,
        job_id: JobId,
        ids: Sequence[str],
        pad_to: int | str | None,
        chunk_ids: int,
        why: str,
    ) -> tuple[Epoch, IdPrints]:
        fresh = Epoch.fresh(DiskShelf(own))
        prints = IdPrints(ids, fresh.secret)
        key = _Key(fresh.secret, fresh.salt, self._clock(), prints.digest, len(ids), pad_to, chunk_ids)
        folder = own / fresh.salt.hex()
        DiskShelf(folder).put(_KEY, msgspec.msgpack.encode(key))
        log.info("a set epoch begins", peer=peer, epoch=fresh.salt.hex(), ids=len(ids), why=why)
        return self._use(folder, key, job_id), prints

    def _use(self, folder: Path, key: _Key, job_id: JobId) -> Epoch:
        (folder / f"{_JOB}{job_id}").touch(mode=0o600)
        return Epoch(key.secret, key.salt, DiskShelf(folder), self._building.setdefault(key.salt, threading.Lock()))

    def _is_current(self, key: _Key) -> bool:
        age = self._clock() - key.began
        return -_FUTURE_SECONDS <= age < self._policy.epoch_days * DAY_SECONDS

    @staticmethod
    def _read(folder: Path) -> _Key | None:
        raw = DiskShelf(folder).get(_KEY)
        try:
            return None if raw is None else msgspec.msgpack.decode(raw, type=_Key)
        except msgspec.DecodeError as error:
            raise ConfigError(f"{folder / _KEY}: no key of a set epoch ({error}); delete {folder}") from error

    # -- others' sets -----------------------------------------------------------------------------------------------

    def hold(self, peer: PartyId, salt: bytes) -> Shelf:
        """Where this peer's set of that epoch is kept; those that were not used for `epoch_days` are deleted."""
        held = self._folder / HELD / peer
        with self._lock:
            for folder in held.glob("*"):
                used = 0.0
                with contextlib.suppress(FileNotFoundError):
                    used = (folder / _USED).stat().st_mtime
                if folder.name != salt.hex() and time.time() - used > self._policy.epoch_days * DAY_SECONDS:
                    DiskShelf(folder).forget()
            folder = held / salt.hex()
            make_private(folder)
            (folder / _USED).touch(mode=0o600)
        return DiskShelf(folder)


class JobSets:
    """What a job's party is lent of the node's set epochs; see `fedchain.alignment.shelf.CachedSets`."""

    def __init__(self, epochs: SetEpochs, job_id: JobId, journal: Journal) -> None:
        self._epochs, self._job_id, self._journal = epochs, job_id, journal

    def own(
        self, peer: PartyId, ids: Sequence[str], pad_to: int | str | None, chunk_ids: int
    ) -> tuple[Epoch, IdPrints]:
        """See `CachedSets`."""
        pinned = self._journal.recall("cached_epoch")
        epoch, prints = self._epochs.choose(self._job_id, pinned, peer, ids, pad_to, chunk_ids)
        if pinned is None:
            self._journal.checkpoint("cached_epoch", epoch.salt)
        return epoch, prints

    def held(self, peer: PartyId, salt: bytes) -> Shelf:
        """See `CachedSets`."""
        return self._epochs.hold(peer, salt)
