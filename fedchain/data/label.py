"""The label and weight columns: from a file's texts to numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fedchain.data.number import parse_number
from fedchain.errors import ConfigError, DataError

LabelType = Literal["binary", "classes", "number", "count"]
LABEL_TYPES: tuple[LabelType, ...] = get_args(LabelType)

MAX_CLASSES = 64
"""Classes of a label: each costs a tree per round."""

MAX_WEIGHT = 1e12
"""Largest row weight: sums stay far from overflow."""

MAX_COUNT = 2.0**53
"""Largest count: float64 holds all whole numbers up to it."""

_POSITIVE_OF = {frozenset({"yes", "no"}): "yes", frozenset({"true", "false"}): "true"}


def _shown(values: Sequence[str]) -> str:
    """Up to five values, each cut to 30 characters, for a local error message."""
    cut = [repr(value if len(value) <= 30 else value[:29] + "…") for value in values[:5]]
    return ", ".join(cut) + (", …" if len(values) > 5 else "")


def _same(value: str, positive: str) -> bool:
    if value == positive:
        return True
    number, wanted = parse_number(value), parse_number(positive)
    return number is not None and number == wanted


def _some(lines: Sequence[int]) -> str:
    return ", ".join(map(str, lines[:3])) + (", …" if len(lines) > 3 else "")


def _present(cells: Sequence[str | None], lines: Sequence[int], where: str, what: str, noun: str) -> list[str]:
    """The cells, once it is known that none is missing and that there are some."""
    absent = [line for cell, line in zip(cells, lines, strict=True) if cell is None]
    if absent:
        raise DataError(
            f"{where}: {len(absent)} of {len(cells)} {what} are missing ({noun}s {_some(absent)}); "
            "fill them or drop those rows"
        )
    present = [cell for cell in cells if cell is not None]
    if not present:
        raise DataError(f"{where}: there are no rows, so no {what}")
    return present


def _numbers(present: Sequence[str], lines: Sequence[int], where: str, remedy: str, noun: str) -> NDArray[np.float64]:
    """(rows,) float64, finite.

    Raises:
        DataError: a cell is no finite number; names the first by line.
    """
    values = np.empty(len(present), dtype=np.float64)
    for row, cell in enumerate(present):
        number = parse_number(cell)
        if number is None or np.isinf(number):
            raise DataError(f"{where}, {noun} {lines[row]}: {_shown([cell])} is no finite number; {remedy}")
        values[row] = number
    return values


def parse_labels(
    cells: Sequence[str | None],
    lines: Sequence[int],
    *,
    column: str,
    positive: str | None,
    source: str,
    noun: str = "line",
) -> NDArray[np.float64]:
    """Labels as 0.0 and 1.0.

    Without `positive`: numbers 0 and 1, or yes/no, or true/false in any case. With it: any two values, of which
    `positive` (compared as trimmed text, or by value where both are numbers) becomes 1.0.

    Args:
        cells: trimmed cells, None where missing.
        lines: line number of each cell in the file.
        column: the label column's name.
        positive: the value that means 1, or None.
        source: the file, for messages.
        noun: what `lines` count, for messages: ``line`` or ``row``.

    Returns:
        (rows,) float64 of 0.0 and 1.0, both present.

    Raises:
        DataError: labels are missing, of one class only, of more than two values, or text without `positive`; or
            `positive` is not among the values. Says what was found and what to set.
    """
    where = f"{source}: label column '{column}'"
    present = _present(cells, lines, where, "labels", noun)
    values = [value for value, _ in sorted(Counter(present).items(), key=lambda item: (-item[1], item[0]))]
    numbers = [parse_number(value) for value in values]
    classes: set[object]
    if all(number is not None for number in numbers):
        classes = set(numbers)
    elif positive is None:
        classes = {value.lower() for value in values}
    else:
        classes = set(values)
    if len(classes) > 2:
        raise DataError(
            f"{where}: found {len(classes)} distinct values ({_shown(values)}), expected two classes; "
            'set objective = "multiclass", "squared_error" or "poisson", or choose another label column'
        )
    if len(classes) < 2:
        raise DataError(f"{where}: found only one class ({_shown(values)}), expected two; add rows of the other class")
    if positive is not None:
        wanted = positive.strip()
        ones = {value for value in values if _same(value, wanted)}
        if not ones:
            raise DataError(
                f"{where}: positive value {_shown([wanted])} is not among the values found ({_shown(values)}); "
                "set 'positive' to one of them"
            )
    elif classes == {0.0, 1.0}:
        ones = {value for value in values if parse_number(value) == 1.0}
    else:
        known = _POSITIVE_OF.get(frozenset(str(each) for each in classes))
        if known is None:
            raise DataError(
                f"{where}: found {_shown(values)}, expected 0 and 1; set 'positive' to the value that counts as 1"
            )
        ones = {value for value in values if value.lower() == known}
    return np.fromiter((float(value in ones) for value in present), dtype=np.float64, count=len(present))


@dataclass(frozen=True, eq=False)
class Labels:
    """A parsed label column.

    Attributes:
        values: (rows,) float64: 0.0 and 1.0, class numbers, counts or numbers, by type.
        classes: names of the classes 0, 1, … for type ``classes``, else None.
    """

    values: NDArray[np.float64]
    classes: tuple[str, ...] | None = None


def parse_label_column(
    cells: Sequence[str | None],
    lines: Sequence[int],
    *,
    column: str,
    source: str,
    label_type: LabelType = "binary",
    positive: str | None = None,
    noun: str = "line",
) -> Labels:
    """Labels of any type.

    - ``binary``: as `parse_labels`.
    - ``classes``: 2..64 different texts, compared exactly after trimming; if all are numbers, compared and sorted by
      value (so 1 and 1.0 are one class, named by its shortest spelling). Class names are sorted; rows hold positions.
    - ``number``: finite, not all equal.
    - ``count``: whole, 0 .. 2**53, not all zero.

    Args:
        cells, lines, column, positive, source, noun: as in `parse_labels`; `positive` is for ``binary`` alone.
        label_type: which.

    Raises:
        DataError: labels are missing or not of this type; says what was found and what to set.
        ConfigError: no such type.
    """
    where = f"{source}: label column '{column}'"
    if label_type not in LABEL_TYPES:
        raise ConfigError(f"{where}: label type '{label_type}' is unknown; there are {', '.join(LABEL_TYPES)}")
    if label_type == "binary":
        return Labels(parse_labels(cells, lines, column=column, positive=positive, source=source, noun=noun))
    if positive is not None:
        raise DataError(f"{where}: 'positive' is for binary labels, these are of type {label_type}; remove it")
    present = _present(cells, lines, where, "labels", noun)
    if label_type == "classes":
        return _classes(present, where)
    values = _numbers(present, lines, where, 'mend it, or set objective = "multiclass"', noun)
    if label_type == "count":
        strange = np.flatnonzero((values < 0) | (values != np.floor(values)) | (values > MAX_COUNT))
        if len(strange):
            raise DataError(
                f"{where}: {len(strange)} labels are no counts ({noun} {lines[strange[0]]}: "
                f"{_shown([present[strange[0]]])}), expected 0, 1, 2 …; "
                'set objective = "squared_error" or "tweedie"'
            )
        if not values.any():
            raise DataError(f"{where}: all counts are 0, so there is nothing to learn; use another label column")
    elif (values == values[0]).all():
        raise DataError(
            f"{where}: all labels are {_shown(present[:1])}, so there is nothing to learn; use another label column"
        )
    return Labels(values)


def _classes(present: Sequence[str], where: str) -> Labels:
    values = list(dict.fromkeys(present))
    numbers = {value: parse_number(value) for value in values}
    name_of: dict[object, str] = {}
    numeric = all(number is not None for number in numbers.values())
    for value in sorted(values, key=lambda value: (len(value), value)):
        name_of.setdefault(numbers[value] if numeric else value, value)
    if len(name_of) < 2:
        raise DataError(f"{where}: found only one class ({_shown(values)}), expected two or more; add rows of another")
    if len(name_of) > MAX_CLASSES:
        remedy = 'set objective = "squared_error"' if numeric else "choose another label column"
        raise DataError(
            f"{where}: found {len(name_of)} classes ({_shown(values)}), at most {MAX_CLASSES} are supported; {remedy}"
        )
    keys: list[object] = sorted(name_of)  # type: ignore[type-var]  # all floats or all texts
    place_of = {key: place for place, key in enumerate(keys)}
    rows = (place_of[numbers[value] if numeric else value] for value in present)
    return Labels(np.fromiter(rows, dtype=np.float64, count=len(present)), tuple(name_of[key] for key in keys))


def parse_weights(
    cells: Sequence[str | None], lines: Sequence[int], *, column: str, source: str, noun: str = "line"
) -> NDArray[np.float64]:
    """Row weights.

    Returns:
        (rows,) float64, 0 .. 1e12, some above 0.

    Raises:
        DataError: a weight is missing, no number or out of range, or all are 0; names the first by line.
    """
    where = f"{source}: weight column '{column}'"
    present = _present(cells, lines, where, "weights", noun)
    values = _numbers(present, lines, where, "set a finite number of at least 0", noun)
    outside = np.flatnonzero((values < 0) | (values > MAX_WEIGHT))
    if len(outside):
        raise DataError(
            f"{where}, {noun} {lines[outside[0]]}: {_shown([present[outside[0]]])} is out of range; "
            f"weights are 0 to {MAX_WEIGHT:g}, and 0 leaves a row out"
        )
    if not values.any():
        raise DataError(f"{where}: all weights are 0; set some above 0")
    return values
