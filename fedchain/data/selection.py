"""What a job asks of a party's table: which column is what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, get_args

from fedchain.data.idrules import DEFAULT_RULES, IdRules
from fedchain.data.label import LabelType
from fedchain.data.records import Records
from fedchain.data.schema import Schema
from fedchain.errors import DataError

DuplicatePolicy = Literal["error", "first", "aggregate"]
"""What becomes of rows that repeat an id: an error; the first of them counts; or they are merged into one."""

DUPLICATE_POLICIES: tuple[DuplicatePolicy, ...] = get_args(DuplicatePolicy)


@dataclass(frozen=True)
class Selection:
    """Columns of a table, by role.

    Attributes:
        id: name of the column with ids, or of those that hold its parts, in the order of `rules`.
        label: name of the label column, at the active party.
        positive: the label value that means 1, where labels are binary and not 0/1, yes/no or true/false.
        label_type: ``binary``, ``classes`` (any texts or whole numbers; their sorted names become `Table.classes`),
            ``number`` or ``count``; see `fedchain.data.label.parse_label_column`.
        weight: name of the column with row weights, 0 .. 1e12; 0 leaves a row out.
        features: names of the feature columns, in this order; None for all but id, label and weight, in the source's
            order (with a schema: all that it declares numeric or categorical).
        categorical: names of feature columns that are categorical even if all their cells are numbers.
        rules: how ids are spelled.
        duplicates: what becomes of rows that repeat an id.
    """

    id: str | tuple[str, ...]
    label: str | None = None
    positive: str | None = None
    label_type: LabelType = "binary"
    weight: str | None = None
    features: tuple[str, ...] | None = None
    categorical: tuple[str, ...] = ()
    rules: IdRules = DEFAULT_RULES
    duplicates: DuplicatePolicy = "error"

    @property
    def id_columns(self) -> tuple[str, ...]:
        """Names of the columns with the id's parts."""
        return (self.id,) if isinstance(self.id, str) else self.id

    def check(self, source: str) -> None:
        """Fits together.

        Raises:
            DataError: it does not.
        """
        if self.label is None and self.positive is not None:
            raise DataError(f"{source}: 'positive' is set but no label column; set the label column as well")
        parts = self.rules.parts
        if len(self.id_columns) != len(parts):
            raise DataError(
                f"{source}: the id has {len(parts)} parts ({', '.join(part.name for part in parts)}), "
                f"{len(self.id_columns)} columns are named for them; name one for each"
            )

    def features_in(self, records: Records, schema: Schema | None) -> list[str]:
        """Names of the feature columns, after checking that all that is asked for is there and asked for once.

        Raises:
            DataError: a column is absent, asked for twice, or (with a schema) not declared for its role.
        """
        source = records.source
        roles = [("id", name) for name in self.id_columns]
        roles += [(role, name) for role, name in (("label", self.label), ("weight", self.weight)) if name is not None]
        roles += [("feature", name) for name in self.features or ()]
        for role, name in roles:
            if name not in records.names:
                hint = records.hint if len(records.names) == 1 else ""
                raise DataError(f"{source}: no {role} column '{name}'; columns present: {records.present()}{hint}")
            if schema is not None:
                schema.require_role(source, name, role)
        twice = [name for name, times in Counter(name for _, name in roles).items() if times > 1]
        if twice:
            raise DataError(
                f"{source}: column '{twice[0]}' is asked for more than once; "
                "id, label, weight and features must be different columns"
            )
        if self.features is not None:
            chosen = list(self.features)
        elif schema is not None:
            chosen = [name for name in records.names if schema.is_feature(name)]
        else:
            chosen = [name for name in records.names if name not in (*self.id_columns, self.label, self.weight)]
        for name in self.categorical:
            if name not in chosen:
                raise DataError(
                    f"{source}: column '{name}' is named categorical but is no feature; "
                    f"features: {', '.join(chosen[:50])}"
                )
        return chosen
