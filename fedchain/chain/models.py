"""The model registry, typed: versions of models under a name, who approved them, and which is in use."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from fedchain.chain.abi import address_or_none
from fedchain.chain.artifacts import MODELS
from fedchain.chain.decoder import job_id_of
from fedchain.chain.events import ModelProposed, ModelRolledBack
from fedchain.chain.reads import job_id_bytes
from fedchain.chain.stewarding import Read, Write
from fedchain.chain.transaction import Receipt
from fedchain.errors import ChainError
from fedchain.types import JobId


class ModelState(IntEnum):
    """A version's state; the same numbers as in `ModelRegistry`."""

    NONE = 0
    PROPOSED = 1
    FROZEN = 2
    ACTIVE = 3
    RETIRED = 4


@dataclass(frozen=True)
class ModelVersion:
    """One version of a model.

    Attributes:
        name: the model's.
        version: its number, from 1.
        state: where it stands.
        job_id: the completed job whose model it is.
        proposer: address.
        roster: of the job, addresses, the active party first.
        shard_digests: of each party's shard, 32 bytes, in the roster's order.
        approved: whether each party approved, in the roster's order.
        frozen_block: of the last approval; 0 before.
        activated_block: in which it last came into use; 0 if never.
    """

    name: str
    version: int
    state: ModelState
    job_id: JobId
    proposer: str
    roster: tuple[str, ...]
    shard_digests: tuple[bytes, ...]
    approved: tuple[bool, ...]
    frozen_block: int
    activated_block: int


class Models:
    """The registry of a consortium; `Consortium.models` is one.

    Every method raises `ChainUnreachableError` when the chain's node does not answer; those that write wait until it is
    mined, and raise `TransactionError` with the contract's typed error.

    Args:
        read: calls a view: contract, function, arguments.
        write: sends a transaction: the same.
    """

    def __init__(self, read: Read, write: Write) -> None:
        self._read = read
        self._write = write

    def names(self) -> list[str]:
        """All names, in the order of their first proposals."""
        (count,) = self._read(MODELS, "nameCount")
        return [str(self._read(MODELS, "nameAt", index)[0]) for index in range(count)]

    def version_count(self, name: str) -> int:
        """How many versions of a name were proposed; 0 for an unknown one."""
        return int(self._read(MODELS, "versionCount", name)[0])

    def version(self, name: str, version: int) -> ModelVersion | None:
        """A version, None if there is none of this number."""
        (found,) = self._read(MODELS, "versionOf", name, version)
        if found["state"] == ModelState.NONE:
            return None
        roster, digests = self._read(MODELS, "shardDigestsOf", name, version)
        _, approved = self._read(MODELS, "approvalsOf", name, version)
        return ModelVersion(
            name=name,
            version=version,
            state=ModelState(found["state"]),
            job_id=job_id_of(found["jobId"]),
            proposer=found["proposer"],
            roster=roster,
            shard_digests=digests,
            approved=approved,
            frozen_block=found["frozenAt"],
            activated_block=found["activatedAt"],
        )

    def active_version(self, name: str) -> int:
        """The version in use, 0 if there is none."""
        return int(self._read(MODELS, "activeVersion", name)[0])

    def holder(self, name: str) -> str | None:
        """The active party that a name belongs to, None until a version of it is frozen."""
        (address,) = self._read(MODELS, "holderOf", name)
        return address_or_none(address)

    def proposal(self, name: str, job_id: JobId) -> int:
        """As which version a job's model is proposed under a name, 0 if it is not."""
        return int(self._read(MODELS, "proposalOf", name, job_id_bytes(job_id))[0])

    def registration(self, job_id: JobId) -> tuple[str, int] | None:
        """As what a job's model is frozen: name and version; None if it is not."""
        name, version = self._read(MODELS, "registrationOf", job_id_bytes(job_id))
        return (str(name), int(version)) if version else None

    def propose(self, name: str, job_id: JobId) -> int:
        """Roster party: propose a completed job's model as a version of a name; returns its number. Approves nothing.

        Everyone on the chain sees name, proposer and shard digests.

        Args:
            name: 1..64 characters of [a-z0-9_-].
            job_id: the job.
        """
        receipt = self._write(MODELS, "propose", name, job_id_bytes(job_id))
        for event in receipt.events:
            if isinstance(event, ModelProposed):
                return event.version
        raise ChainError("the receipt of propose holds no ModelProposed; deployment and chain do not fit together")

    def approve(self, name: str, version: int) -> Receipt:
        """Roster party: approve a version; the last approval freezes it."""
        return self._write(MODELS, "approve", name, version)

    def activate(self, name: str, version: int) -> Receipt:
        """Active party: put a frozen or retired version into use."""
        return self._write(MODELS, "activate", name, version)

    def roll_back(self, name: str) -> int:
        """Active party: put the version into use again that was in use before; returns its number."""
        for event in self._write(MODELS, "rollBack", name).events:
            if isinstance(event, ModelRolledBack):
                return event.version
        raise ChainError("the receipt of rollBack holds no ModelRolledBack; deployment and chain do not fit together")
