"""A party's own table, as a job asks for it: the one place where nodes, simulations and the demo read it."""

from __future__ import annotations

from pathlib import Path

from fedchain.data.csv import read_table
from fedchain.data.table import Table
from fedchain.federation.spec import JobSpec


def read_party_table(path: Path, spec: JobSpec, name: str) -> Table:
    """The columns that a job names for a party; labels are read as the job's objective needs them.

    Raises:
        ConfigError: the job has no party of that name.
        DataError: the table does not hold the columns; the message may name values, so it stays with the table's owner.
    """
    party = spec.party(name)
    return read_table(
        path,
        id_column=party.id,
        label_column=party.label,
        positive=party.positive,
        label_type=spec.label_type,
        weight_column=party.weight,
        features=party.features or None,
        categorical=party.categorical,
    )
