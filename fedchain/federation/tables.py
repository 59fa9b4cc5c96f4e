"""A party's own table, as a job asks for it: the one place where nodes, simulations and the demo read it."""

from __future__ import annotations

from pathlib import Path

from fedchain.data.selection import Selection
from fedchain.data.source import TableSource
from fedchain.data.table import Table
from fedchain.federation.spec import JobSpec


def read_party_table(source: TableSource | Path, spec: JobSpec, name: str) -> Table:
    """The columns that a job names for a party; labels are read as the job's objective needs them.

    Args:
        source: where the table is; a path is a CSV or Parquet file of which nothing is declared.
        spec: the job.
        name: the party.

    Raises:
        ConfigError: the job has no party of that name, a library for the source is missing, or its query is no SELECT.
        DataError: the table does not hold the columns; the message may name values, so it stays with the table's owner.
    """
    party = spec.party(name)
    opened = source if isinstance(source, TableSource) else TableSource(Path(source))
    selection = Selection(
        id=spec.id_columns(name, opened.id_columns),
        label=party.label,
        positive=party.positive,
        label_type=spec.label_type,
        weight=party.weight,
        features=tuple(party.features) or None,
        categorical=tuple(party.categorical),
        rules=spec.alignment.rules,
        duplicates=spec.alignment.duplicates,
    )
    return opened.read(selection)
