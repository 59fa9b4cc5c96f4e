"""What a node does with the model registry on behalf of its party."""

from __future__ import annotations

from pathlib import Path

import structlog

from fedchain.chain import Consortium, ModelState, ModelVersion
from fedchain.errors import ConfigError, DigestMismatchError, TransactionError
from fedchain.node.jobfiles import SHARD, JobFiles, finished_shard
from fedchain.node.modelstate import VersionState, read_version, require_name
from fedchain.types import JobId, PartyId, Phase

log = structlog.get_logger(__name__)


class ModelDesk:
    """Proposes, approves, activates and rolls back; each may be asked for again and then changes nothing, but rolling
    back, which goes one step further.

    A party approves what it keeps: before a proposal or an approval its own shard file is compared with the digest on
    the chain.

    Args:
        consortium: the contracts.
        address: the party's.
        name: the party's.
        folder: the node's state.
    """

    def __init__(self, consortium: Consortium, *, address: str, name: PartyId, folder: Path) -> None:
        self._consortium = consortium
        self._address = address
        self._name = name
        self._folder = folder

    def propose(self, name: str, job_id: JobId) -> VersionState:
        """Propose the model of a job that this node has finished, and approve it; names and digests become public.

        Raises:
            ConfigError: not a name or a job id; a job that is not completed, or is registered under another name; a
                name of another active party's models.
            UnknownJobError: this node has not finished such a job.
            ModelFormatError: its shard file is missing or damaged.
            DigestMismatchError: the shard is not the one that the chain has the digest of.
            TransactionError: the contract refuses: the name is another's, the job registered under another name.
        """
        require_name(name)
        view = self._consortium.job(job_id)
        if view.phase not in (Phase.NONE, Phase.COMPLETED):
            raise ConfigError(f"job {job_id} is {view.phase.name.lower()}; models of completed jobs can be proposed")
        self._require_shard(job_id, self._consortium.shard_digest(job_id, self._address))
        self._require_free(name, job_id, view.roster[0])
        version = self._consortium.models.proposal(name, job_id)
        if not version:
            version = self._consortium.models.propose(name, job_id)
            log.info("model proposed", model=name, version=version, job=job_id)
        return self.approve(name, version)

    def approve(self, name: str, version: int) -> VersionState:
        """Approve a version, whose shard this node keeps.

        Raises:
            ConfigError: this party has no part in it; or name or job have been taken since, see `propose`.
            UnknownModelError: there is no such version.
            UnknownJobError, ModelFormatError, DigestMismatchError: see `propose`.
            TransactionError: the contract refuses.
        """
        found = read_version(self._consortium, name, version)
        index = self._index(found)
        self._require_shard(found.version.job_id, found.version.shard_digests[index])
        if found.version.approved[index]:
            return found
        self._require_free(name, found.version.job_id, found.version.roster[0])
        self._consortium.models.approve(name, version)
        log.info("model approved", model=name, version=version, job=found.version.job_id)
        return read_version(self._consortium, name, version)

    def activate(self, name: str, version: int) -> VersionState:
        """Put a version into use in place of the one that is.

        Raises:
            ConfigError: this party is not its active party, or approvals are missing; says whose.
            UnknownModelError: there is no such version.
            TransactionError: the contract refuses.
        """
        found = read_version(self._consortium, name, version)
        self._require_active(found)
        if found.version.state is ModelState.PROPOSED:
            raise ConfigError(
                f"version {version} of model '{name}' lacks the approval of {', '.join(found.missing)}; "
                f"each gives it with `fedchain model approve {name} {version}`"
            )
        if found.version.state is ModelState.ACTIVE:
            return found
        self._consortium.models.activate(name, version)
        log.info("model activated", model=name, version=version, job=found.version.job_id)
        return read_version(self._consortium, name, version)

    def roll_back(self, name: str) -> VersionState:
        """Put the version into use again that was in use before; returns it.

        Raises:
            ConfigError: this party is not the active party, no version is in use, or none was before it.
            UnknownModelError: there is no such model.
            TransactionError: the contract refuses.
        """
        require_name(name)
        in_use = self._consortium.models.active_version(name)
        if not in_use:
            read_version(self._consortium, name, 1)  # raises where there is no such model
            raise ConfigError(f"no version of model '{name}' is in use; there is nothing to roll back")
        self._require_active(read_version(self._consortium, name, in_use))
        try:
            version = self._consortium.models.roll_back(name)
        except TransactionError as error:
            if "NothingToRollBackTo" not in error.reason:
                raise
            raise ConfigError(
                f"version {in_use} of model '{name}' is the first that came into use; there is none to go back to"
            ) from error
        log.info("model rolled back", model=name, version=version, withdrawn=in_use)
        return read_version(self._consortium, name, version)

    def _index(self, found: VersionState) -> int:
        one = found.version
        if self._address not in one.roster:
            raise ConfigError(
                f"version {one.version} of model '{one.name}' is of {', '.join(found.names)}; "
                f"party '{self._name}' has no shard of it"
            )
        return one.roster.index(self._address)

    def _require_active(self, found: VersionState) -> None:
        if self._index(found):
            one: ModelVersion = found.version
            raise ConfigError(
                f"the active party of version {one.version} of model '{one.name}' is '{found.names[0]}'; "
                "only its node says which version is in use"
            )

    def _require_free(self, name: str, job_id: JobId, active: str) -> None:
        models = self._consortium.models
        holder, registered = models.holder(name), models.registration(job_id)
        if holder is not None and holder != active:
            whose = self._consortium.participant(holder).name or holder
            raise ConfigError(
                f"the name '{name}' belongs to models of which '{whose}' is the active party; take another"
            )
        if registered is not None and registered[0] != name:
            raise ConfigError(f"job {job_id} is version {registered[1]} of model '{registered[0]}'; it has one name")

    def _require_shard(self, job_id: JobId, on_chain: bytes | None) -> None:
        digest = finished_shard(self._folder, job_id).digest()
        if digest != on_chain:
            path = JobFiles(self._folder, job_id).folder / SHARD
            there = "none" if on_chain is None else on_chain.hex()
            raise DigestMismatchError(
                f"shard {path}: its digest is {digest.hex()}, on the chain party '{self._name}' has {there}; "
                "restore the file from a backup"
            )
