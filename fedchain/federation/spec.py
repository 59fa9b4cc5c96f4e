"""The job file: what is trained, by whom, on which columns, under which policy (docs/reference/job.md)."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from fedchain.data.idrules import MAX_PARTS
from fedchain.data.label import LabelType
from fedchain.errors import ConfigError, MessageError
from fedchain.federation.alignspec import Alignment
from fedchain.federation.contribspec import ContributionSpec
from fedchain.federation.idspec import PartName
from fedchain.federation.inferspec import InferenceSpec
from fedchain.federation.policyspec import PolicySpec
from fedchain.messages.base import require_shallow_json
from fedchain.model.link import ObjectiveName
from fedchain.training.boosting.metrics import metric_of
from fedchain.training.boosting.params import BoostingParams
from fedchain.training.boosting.sampling import drawn_count
from fedchain.types import PartyId, Role

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_SPEC_BYTES = 65_536
NAME = re.compile(r"[a-z0-9_-]{1,64}\Z")
MODEL_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
LABEL_TYPES: dict[ObjectiveName, LabelType] = {
    "binary": "binary",
    "multiclass": "classes",
    "squared_error": "number",
    "poisson": "count",
    "tweedie": "number",
}
ColumnName = Annotated[str, Field(min_length=1, max_length=256)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PartySpec(_Section):
    """One party: `[[parties]]`.

    Attributes:
        name: the organisation's name in the registry.
        role: `active` (holds the labels; exactly one) or `passive`.
        id: column that holds the customers' ids; or, for an id of several parts, the column of each part by its name.
            The party's own node may name other columns.
        label: label column, active party only.
        weight: column of row weights, active party only; they stay with it.
        positive: label value that counts as 1, where labels are not 0/1 or yes/no.
        features: columns to train on; empty: all but id and label.
        categorical: columns to read as categories though they look numeric.
    """

    name: str
    role: Role
    id: Annotated[dict[PartName, ColumnName], Field(max_length=MAX_PARTS)] | ColumnName = "id"
    label: ColumnName | None = None
    positive: str | None = None
    weight: ColumnName | None = None
    features: Annotated[tuple[ColumnName, ...], Field(max_length=4096)] = ()
    categorical: Annotated[tuple[ColumnName, ...], Field(max_length=4096)] = ()

    @field_validator("name")
    @classmethod
    def _name_is_registrable(cls, name: str) -> str:
        if not NAME.match(name):
            raise ValueError("a party's name is 1 to 64 characters of a-z, 0-9, '_' and '-'")
        return name

    @model_validator(mode="after")
    def _label_fits_role(self) -> PartySpec:
        if self.role is Role.ACTIVE and self.label is None:
            raise ValueError(f"active party '{self.name}' needs label = \"column\"")
        if self.role is Role.PASSIVE and any(one is not None for one in (self.label, self.positive, self.weight)):
            raise ValueError(f"passive party '{self.name}' has no label; remove label, positive and weight")
        own = (self.id,) if isinstance(self.id, str) else tuple(self.id.values())
        for column in (*own, self.label, self.weight):
            if column is not None and column in self.features:
                raise ValueError(f"party '{self.name}': column '{column}' cannot be a feature")
        return self


class Holdout(_Section):
    """`[holdout]`: the stratified share of aligned rows that never trains."""

    fraction: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**32)] = 42


class Stopping(_Section):
    """`[stopping]`: the rule by which training is over; the active party judges and announces it.

    Attributes:
        rule: `trees` (all rounds of the job) or `early` (no improvement on validation rows).
        metric: what `early` watches; default: the objective's own loss.
        patience: rounds without improvement before it stops; the model keeps the rounds up to the best.
        min_delta: improvements up to this do not count.
        validation_fraction: of the aligned rows, drawn from those that are not held out; they do not train.
    """

    rule: Literal["trees", "early"] = "trees"
    metric: str | None = None
    patience: Annotated[int, Field(strict=True, ge=1, le=1000)] = 10
    min_delta: Annotated[float, Field(strict=True, ge=0)] = 0.0
    validation_fraction: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.1

    @property
    def validates(self) -> float:
        """Share of rows that validate: 0 unless the rule watches them."""
        return self.validation_fraction if self.rule == "early" else 0.0


class WarmStart(_Section):
    """`[warm_start]`: the finished model that the job continues.

    Attributes:
        model: its digest, as every party's report of that job has it; None starts from nothing.
    """

    model: str | None = None

    @field_validator("model")
    @classmethod
    def _model_is_a_digest(cls, model: str | None) -> str | None:
        if model is not None and not MODEL_DIGEST.match(model):
            raise ValueError("a model's digest is 64 digits of 0-9 and a-f")
        return model


class JobSpec(_Section):
    """A job, as written by whoever proposes it and accepted by every party on the roster."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    name: str
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**63)] = 42
    algorithm: BoostingParams = BoostingParams()
    alignment: Alignment = Alignment()
    holdout: Holdout = Holdout()
    stopping: Stopping = Stopping()
    warm_start: WarmStart = WarmStart()
    policy: PolicySpec = PolicySpec()
    inference: InferenceSpec = InferenceSpec()
    contribution: ContributionSpec = ContributionSpec()
    parties: Annotated[tuple[PartySpec, ...], Field(min_length=2, max_length=8)]

    @field_validator("name")
    @classmethod
    def _name_is_short(cls, name: str) -> str:
        if not NAME.match(name):
            raise ValueError("a job's name is 1 to 64 characters of a-z, 0-9, '_' and '-'")
        return name

    @model_validator(mode="after")
    def _roster_is_sound(self) -> JobSpec:
        names = [party.name for party in self.parties]
        if len(set(names)) != len(names):
            raise ValueError("two parties have the same name")
        if sum(party.role is Role.ACTIVE for party in self.parties) != 1:
            raise ValueError('exactly one party has role = "active"')
        if self.active.positive is not None and self.algorithm.objective != "binary":
            raise ValueError("positive goes with objective 'binary' alone")
        self._cached_set_is_sound(names)
        if self.holdout.fraction + self.stopping.validates >= 1:
            raise ValueError("holdout fraction and validation_fraction leave no row to train on")
        for party in self.parties:
            self.id_columns(party.name)
        if self.stopping.metric is not None:
            try:
                metric_of(self.stopping.metric, self.algorithm.objective)
            except ConfigError as error:
                raise ValueError(f"stopping.metric: {error}") from error
        return self

    def _cached_set_is_sound(self, names: list[str]) -> None:
        cached = self.alignment.cached
        if cached is None:
            return
        if cached not in names:
            raise ValueError(f"alignment.cached is '{cached}', which is no party of the job: {', '.join(names)}")
        if len(names) != 2:
            raise ValueError(
                f"alignment.cached goes with two parties, the job has {len(names)}; remove it, and all align in a ring"
            )

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A job that leaves out `[contribution]` has the bytes that it had before there was such a section."""
        dumped: dict[str, Any] = handler(self)
        if self.contribution == ContributionSpec():
            dumped.pop("contribution", None)
        return dumped

    @property
    def label_type(self) -> LabelType:
        """How the label column is read."""
        return LABEL_TYPES[self.algorithm.objective]

    @property
    def active(self) -> PartySpec:
        """The party that holds the labels."""
        return next(party for party in self.parties if party.role is Role.ACTIVE)

    @property
    def names(self) -> tuple[PartyId, ...]:
        """Roster order: the active party first, the passive ones as written."""
        passive = [PartyId(party.name) for party in self.parties if party.role is Role.PASSIVE]
        return (PartyId(self.active.name), *passive)

    @property
    def max_rounds(self) -> int:
        """Rounds that the job may open on chain: one per tree."""
        return self.algorithm.trees

    def sampled_rows(self, aligned_rows: int) -> int:
        """Rows that each tree is grown with, all its leaves together: those that train, or the share that is drawn.

        Args:
            aligned_rows: that all parties have.
        """
        params, validates = self.algorithm, self.stopping.validates
        validation = max(1, round(validates * aligned_rows)) if validates > 0 else 0
        train = aligned_rows - math.ceil(self.holdout.fraction * aligned_rows) - validation
        return drawn_count(train, params.row_sample) if params.goss_top is None else train

    @property
    def phase_limit(self) -> int:
        """Seconds that the contract gives each phase but training: an audit's windows lie in the last."""
        return self.policy.phase_limit + self.contribution.phase_seconds

    def party(self, name: str) -> PartySpec:
        """The party of this name.

        Raises:
            ConfigError: not on the roster.
        """
        for party in self.parties:
            if party.name == name:
                return party
        raise ConfigError(f"job '{self.name}' has no party '{name}'; it names {', '.join(self.names)}")

    def id_columns(self, name: str, own: Mapping[str, str] | None = None) -> tuple[str, ...]:
        """A party's columns with the parts of the id, in the order of the parts.

        Args:
            name: the party.
            own: columns by part as the party's own node has them; they count before the job's.

        Raises:
            ConfigError: not on the roster.
            ValueError: the job names a column for a part that there is not, or one text for several parts.
        """
        declared, own = self.party(name).id, own or {}
        parts = [part.name for part in self.alignment.rules.parts]
        if isinstance(declared, str):
            if len(parts) > 1 and declared != "id":
                raise ValueError(
                    f"party '{name}': the id has the parts {', '.join(parts)}; name a column for each, such as "
                    f'id = {{ {parts[0]} = "{declared}" }}'
                )
            declared = {parts[0]: declared} if len(parts) == 1 else {}
        for part in declared:
            if part not in parts:
                raise ValueError(f"party '{name}': the id has no part '{part}', but {', '.join(parts)}")
        return tuple(own.get(part) or declared.get(part, part) for part in parts)

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no blanks. Its SHA-256 is the spec digest on chain."""
        return json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> JobSpec:
        """Parse canonical JSON.

        Raises:
            ConfigError: not a job spec, or not its canonical form.
        """
        if len(raw) > MAX_SPEC_BYTES:
            raise ConfigError(f"job spec: {len(raw)} bytes, at most {MAX_SPEC_BYTES} are allowed")
        try:
            require_shallow_json(raw)  # a peer's proposal may nest without end
            spec = cls._validate(json.loads(raw), "job spec")
        except (MessageError, ValueError) as error:
            raise ConfigError(f"job spec: not JSON: {error}") from error
        if spec.to_bytes() != raw:
            raise ConfigError("job spec: not in canonical form; submit it with `fedchain job submit`")
        return spec

    @classmethod
    def from_toml(cls, path: Path) -> JobSpec:
        """Read and validate a job file.

        Raises:
            ConfigError: file missing, not TOML, unknown key, or a value out of range.
        """
        try:
            return cls.from_toml_text(path.read_text(encoding="utf-8"), str(path))
        except FileNotFoundError as error:
            raise ConfigError(f"{path}: no such job file") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read: {error}") from error

    @classmethod
    def from_toml_text(cls, text: str, where: str = "job file") -> JobSpec:
        """Validate a job file's text, or the JSON that `to_bytes` gives; `where` names it in errors."""
        if text.startswith("{"):  # no TOML document begins so
            return cls.from_bytes(text.encode())
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{where}: not valid TOML: {error}") from error
        return cls._validate(raw, where)

    @classmethod
    def from_json_text(cls, text: str, where: str = "job file") -> JobSpec:
        """Validate a job file's content as JSON, canonical or not; `where` names it in errors.

        Raises:
            ConfigError: not JSON, unknown key, or a value out of range.
        """
        try:
            require_shallow_json(text.encode())
            raw = json.loads(text)
        except (MessageError, ValueError) as error:
            raise ConfigError(f"{where}: not JSON: {error}") from error
        return cls._validate(raw, where)

    @classmethod
    def _validate(cls, raw: Any, where: str) -> JobSpec:
        if not isinstance(raw, Mapping):
            raise ConfigError(f"{where}: expected a table at the top")
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            raise ConfigError(f"{where}: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """One line for the first of pydantic's findings: which key, what is wrong, how many more."""
    problems = error.errors(include_url=False, include_context=False)
    problem = problems[0]
    key = ".".join(str(part) for part in problem["loc"]) or "top level"
    if problem["type"] == "extra_forbidden":
        text = f"unknown key '{key}'; see docs/reference/job.md for the keys there are"
    elif problem["type"] == "missing":
        text = f"key '{key}' is missing"
    else:
        text = f"key '{key}': {problem['msg'].removeprefix('Value error, ')}"
    return text if len(problems) == 1 else f"{text} (and {len(problems) - 1} more)"
