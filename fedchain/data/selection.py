"""What a job asks of a party's table: which column is what."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from fedchain.data.label import LabelType
from fedchain.data.records import Records
from fedchain.data.schema import Schema
from fedchain.errors import DataError


@dataclass(frozen=True)
class Selection:
    """Columns of a table, by role.

    Attributes:
        id: name of the column with ids.
        label: name of the label column, at the active party.
        positive: the label value that means 1, where labels are binary and not 0/1, yes/no or true/false.
        label_type: ``binary``, ``classes`` (any texts or whole numbers; their sorted names become `Table.classes`),
            ``number`` or ``count``; see `fedchain.data.label.parse_label_column`.
        weight: name of the column with row weights, 0 .. 1e12; 0 leaves a row out.
        features: names of the feature columns, in this order; None for all but id, label and weight, in the source's
            order (with a schema: all that it declares numeric or categorical).
        categorical: names of feature columns that are categorical even if all their cells are numbers.
    """

    id: str
    label: str | None = None
    positive: str | None = None
    label_type: LabelType = "binary"
    weight: str | None = None
    features: tuple[str, ...] | None = None
    categorical: tuple[str, ...] = ()

    def check(self, source: str) -> None:
        """Fits together.

        Raises:
            DataError: it does not.
        """
        if self.label is None and self.positive is not None:
            raise DataError(f"{source}: 'positive' is set but no label column; set the label column as well")

    def features_in(self, records: Records, schema: Schema | None) -> list[str]:
        """Names of the feature columns, after checking that all that is asked for is there and asked for once.

        Raises:
            DataError: a column is absent, asked for twice, or (with a schema) not declared for its role.
        """
        source = records.source
        roles = [("id", self.id)]
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
            chosen = [name for name in records.names if name not in (self.id, self.label, self.weight)]
        for name in self.categorical:
            if name not in chosen:
                raise DataError(
                    f"{source}: column '{name}' is named categorical but is no feature; "
                    f"features: {', '.join(chosen[:50])}"
                )
        return chosen
