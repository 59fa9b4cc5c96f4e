"""Jobs and tables that benchmarks run on: CSV files, or made-up columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fedchain.bench.synthetic import Synthetic
from fedchain.data.table import Table
from fedchain.errors import ConfigError
from fedchain.federation.spec import JobSpec, first_problem
from fedchain.federation.tables import read_party_table
from fedchain.types import PartyId


@dataclass(frozen=True)
class Files:
    """One CSV file per party.

    Attributes:
        active: the active party's.
        passive: the passive parties', at least one.
        id, label: column names.
    """

    active: Path
    passive: Sequence[Path]
    id: str = "id"
    label: str = "y"

    @property
    def passive_parties(self) -> int:
        """How many."""
        return len(self.passive)

    def tables(self, spec: JobSpec) -> dict[PartyId, Table]:
        """Read them.

        Raises:
            DataError: a file does not hold what is asked for.
        """
        files = dict(zip(spec.names, [self.active, *self.passive], strict=True))
        return {name: read_party_table(files[name], spec, name) for name in spec.names}

    def settings(self) -> dict[str, object]:
        """For the report."""
        return {"active": str(self.active), "passive": [str(path) for path in self.passive]}


Source = Files | Synthetic


def job(source: Source, algorithm: Mapping[str, Any], holdout_seed: int, positive: str | None = None) -> JobSpec:
    """A job over a source's parties: `active`, `passive_1`, …

    Args:
        algorithm: the `[algorithm]` table.
        holdout_seed: of the 20 % of rows that never train.
        positive: the label that counts as 1, where labels are words.

    Raises:
        ConfigError: a setting is out of range, or there is no passive party.
    """
    if not source.passive_parties:
        raise ConfigError("bench: name at least one passive party, by --passive FILE or --passive-features N")
    own, label = (source.id, source.label) if isinstance(source, Files) else ("id", "y")
    words = {} if positive is None else {"positive": positive}
    document = {
        "name": "bench",
        "algorithm": dict(algorithm),
        "holdout": {"seed": holdout_seed},
        "parties": [
            {"name": "active", "role": "active", "id": own, "label": label, **words},
            *({"name": f"passive_{i + 1}", "role": "passive", "id": own} for i in range(source.passive_parties)),
        ],
    }
    try:
        return JobSpec.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"bench: {first_problem(error)}") from error


def source_of(
    files: tuple[Path | None, Sequence[Path], str, str],
    rows: int | None,
    active_features: int | None,
    passive_features: Sequence[int],
    *,
    objective: str = "binary",
    classes: int | None = None,
) -> Source:
    """What a command's options name: either files, or made-up columns.

    Args:
        files: active file, passive files, id column, label column.
        rows, active_features, passive_features: of made-up tables.

    Raises:
        ConfigError: both, neither, or half of one.
    """
    active, passive, own, label = files
    if rows is None and active_features is None and not passive_features:
        if active is None:
            raise ConfigError(
                "bench: give --active FILE and --passive FILE, or --rows N --active-features N --passive-features N"
            )
        return Files(active, passive, own, label)
    if active is not None or passive:
        raise ConfigError("bench: --active and --passive name files, --rows and --…-features make tables up; not both")
    if rows is None or active_features is None:
        raise ConfigError("bench: made-up tables need --rows N, --active-features N and --passive-features N")
    return Synthetic(rows, active_features, tuple(passive_features), objective=objective, classes=classes or 3)
