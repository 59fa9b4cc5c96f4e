"""The label column: from a file's texts to 0.0 and 1.0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedchain.data.number import parse_number
from fedchain.errors import DataError

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


def parse_labels(
    cells: Sequence[str | None], lines: Sequence[int], *, column: str, positive: str | None, source: str
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

    Returns:
        (rows,) float64 of 0.0 and 1.0, both present.

    Raises:
        DataError: labels are missing, of one class only, of more than two values, or text without `positive`; or
            `positive` is not among the values. Says what was found and what to set.
    """
    where = f"{source}: label column '{column}'"
    absent = [line for cell, line in zip(cells, lines, strict=True) if cell is None]
    if absent:
        first = ", ".join(map(str, absent[:3])) + (", …" if len(absent) > 3 else "")
        raise DataError(
            f"{where}: {len(absent)} of {len(cells)} labels are missing (lines {first}); fill them or drop those rows"
        )
    present = [cell for cell in cells if cell is not None]
    if not present:
        raise DataError(f"{where}: there are no rows, so no labels")
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
            "only binary labels are supported: choose another label column"
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
