"""What the model registry holds of models, for `fedchain model list` and `show`, and for the HTTP API."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedchain.errors import ConfigError, UnknownModelError
from fedchain.model.shard import model_digest

if TYPE_CHECKING:
    from fedchain.chain import Consortium, ModelVersion
    from fedchain.types import JobId

MAX_VERSION = 2**32 - 1
_NAME = re.compile(r"[a-z0-9_-]{1,64}\Z")


@dataclass(frozen=True)
class ModelSummary:
    """A name.

    Attributes:
        holder: name of the active party that it belongs to, None until a version of it is frozen.
        versions: how many were proposed.
        in_use: number of the version in use, 0 if there is none.
        job_id: that version's, None if there is none.
    """

    name: str
    holder: str | None
    versions: int
    in_use: int
    job_id: JobId | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return vars(self)


@dataclass(frozen=True)
class VersionState:
    """A version, with its parties' names.

    Attributes:
        names: of the roster's parties, the active party first.
        proposer: name.
    """

    version: ModelVersion
    names: tuple[str, ...]
    proposer: str

    @property
    def state(self) -> str:
        """Where it stands, in a word."""
        return self.version.state.name.lower()

    @property
    def missing(self) -> list[str]:
        """Who has not approved."""
        return [name for name, approved in zip(self.names, self.version.approved, strict=True) if not approved]

    @property
    def digest(self) -> str:
        """Of the whole model, hex."""
        return model_digest(self.version.shard_digests)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        one = self.version
        parties = zip(self.names, one.roster, one.shard_digests, one.approved, strict=True)
        return {
            "name": one.name,
            "version": one.version,
            "state": self.state,
            "job_id": one.job_id,
            "model_digest": self.digest,
            "proposer": self.proposer,
            "parties": [
                {"name": name, "address": address, "shard_digest": digest.hex(), "approved": approved}
                for name, address, digest, approved in parties
            ],
            "frozen_block": one.frozen_block,
            "activated_block": one.activated_block,
        }


@dataclass(frozen=True)
class ModelUse:
    """As what a job's model is registered.

    Attributes:
        name: of the model.
        version: the job's.
        in_use: the version in use, 0 if there is none.
    """

    name: str
    version: int
    in_use: int

    @property
    def note(self) -> str | None:
        """One line for whoever asks a job whose model is in use in another version."""
        if self.in_use in (0, self.version):
            return None
        return (
            f"this job is version {self.version} of model '{self.name}', of which version {self.in_use} is in use; "
            f"ask for '{self.name}' to get that one"
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "version": self.version, "in_use": self.in_use}


def is_model_name(text: str) -> bool:
    """Whether the registry would take it as a name. Job ids are longer."""
    return _NAME.match(text) is not None


def require_name(name: str) -> None:
    """Refuse what is no name.

    Raises:
        ConfigError: it is not.
    """
    if not is_model_name(name):
        raise ConfigError(f"'{name[:80]}' is no name of a model: 1 to 64 characters of a-z, 0-9, '_' and '-'")


def read_models(consortium: Consortium) -> list[ModelSummary]:
    """All names, in the order of their first proposals."""
    found = []
    for name in consortium.models.names():
        models = consortium.models
        in_use, holder = models.active_version(name), models.holder(name)
        version = models.version(name, in_use) if in_use else None
        found.append(
            ModelSummary(
                name=name,
                holder=None if holder is None else _name_of(consortium, holder),
                versions=models.version_count(name),
                in_use=in_use,
                job_id=None if version is None else version.job_id,
            )
        )
    return found


def read_versions(consortium: Consortium, name: str) -> list[VersionState]:
    """A model's versions, the oldest first.

    Raises:
        ConfigError: not a name.
        UnknownModelError: nobody proposed it; names some that there are.
    """
    require_name(name)
    count = consortium.models.version_count(name)
    if not count:
        raise UnknownModelError(_no_model(consortium, name))
    return [read_version(consortium, name, number) for number in range(1, count + 1)]


def read_version(consortium: Consortium, name: str, version: int) -> VersionState:
    """One version.

    Raises:
        ConfigError: not a name.
        UnknownModelError: there is none; says what there is.
    """
    require_name(name)
    found = consortium.models.version(name, version) if 0 < version <= MAX_VERSION else None
    if found is None:
        count = consortium.models.version_count(name)
        if not count:
            raise UnknownModelError(_no_model(consortium, name))
        raise UnknownModelError(f"model '{name}' has no version {version}; the newest is {count}")
    names = tuple(_name_of(consortium, address) for address in found.roster)
    return VersionState(found, names, names[found.roster.index(found.proposer)])


def read_use(consortium: Consortium, job_id: JobId) -> ModelUse | None:
    """As what a job's model is registered, None if all its parties have not agreed on a name."""
    registered = consortium.models.registration(job_id)
    if registered is None:
        return None
    name, version = registered
    return ModelUse(name, version, consortium.models.active_version(name))


def job_in_use(consortium: Consortium, name: str) -> JobId:
    """The job of a model's version in use.

    Raises:
        ConfigError: not a name, or no version is in use.
        UnknownModelError: nobody proposed it.
    """
    require_name(name)
    number = consortium.models.active_version(name)
    if not number:
        if not consortium.models.version_count(name):
            raise UnknownModelError(_no_model(consortium, name))
        raise ConfigError(f"no version of model '{name}' is in use; its active party puts one into use")
    return read_version(consortium, name, number).version.job_id


def _name_of(consortium: Consortium, address: str) -> str:
    return consortium.participant(address).name or address


def _no_model(consortium: Consortium, name: str) -> str:
    names = consortium.models.names()
    there = f"there are {', '.join(names[:5])}" if names else "there is none yet"
    return f"no model '{name}' in this consortium; {there}"
