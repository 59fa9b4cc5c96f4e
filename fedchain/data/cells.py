"""Values that come with a type, as the text that a CSV file would hold: so that every source means the same.

| value | text |
|---|---|
| NULL, NaN of any type | blank: missing |
| boolean | ``true``, ``false`` |
| integer | its digits |
| float | the shortest decimal text that reads back as the same number of its size (32 or 64 bits); ``inf`` |
| decimal | its digits, trailing zeros kept |
| date | ``2024-01-31`` |
| time | ``10:30:00`` |
| timestamp | ``2024-01-31 10:30:00``; with a time zone in UTC, ``2024-01-31 10:30:00+00:00`` |
| UUID | ``0f8fad5b-d9cb-469f-a165-70867728950e`` |
| text | itself |

Bytes, intervals, lists and structures are refused: there is no one text for them.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from fedchain.data.records import MAX_CELL
from fedchain.errors import DataError

_LONGEST_EXPONENT = 1000
_SHORT = 64


def cell_text(value: object) -> str:
    """A value's text.

    Raises:
        TypeError: a type without one.
        ValueError: longer than `MAX_CELL` characters, or with a NUL character.
    """
    if type(value) is float:  # the most frequent one
        return repr(value) if value == value else ""
    convert = _CONVERTERS.get(type(value))
    if convert is None:
        convert = next((one for kind, one in _CONVERTERS.items() if isinstance(value, kind)), None)
        if convert is None:
            raise TypeError(f"a value of type {type(value).__name__}")
    text = convert(value)
    if len(text) <= _SHORT and type(value) is not str:
        return text
    if len(text) > MAX_CELL:
        raise ValueError(f"a text of {len(text)} characters, at most {MAX_CELL} are supported")
    if "\0" in text:
        raise ValueError("a text with a NUL character")
    return text


def row_texts(values: Sequence[object], names: Sequence[str], source: str, row: int, remedy: str) -> list[str]:
    """A row's texts.

    Args:
        values: one per column.
        names: of the columns.
        source, row: for messages.
        remedy: what to do about a value without a text.

    Raises:
        DataError: a value has no text; names row, column and type.
    """
    try:
        return [cell_text(value) for value in values]
    except (TypeError, ValueError):
        for name, value in zip(names, values, strict=True):
            try:
                cell_text(value)
            except (TypeError, ValueError) as error:
                raise DataError(f"{source}, row {row}: column '{name}' holds {error}; {remedy}") from None
        raise


def _of_float(value: float) -> str:
    return "" if value != value else repr(float(value))


def _of_decimal(value: Decimal) -> str:
    if value.is_nan():
        return ""
    if not value.is_finite():
        return str(value).lower()
    return format(value, "f") if abs(value.adjusted()) < _LONGEST_EXPONENT else str(value)


def _of_timestamp(value: datetime.datetime) -> str:
    moment = value if value.tzinfo is None else value.astimezone(datetime.timezone.utc)
    return moment.isoformat(sep=" ")


_CONVERTERS: Mapping[type, Callable[[Any], str]] = {
    type(None): lambda _: "",
    bool: lambda value: "true" if value else "false",
    int: int.__repr__,
    float: _of_float,
    str: str,
    Decimal: _of_decimal,
    datetime.datetime: _of_timestamp,  # before date, of which it is one
    datetime.date: lambda value: str(value.isoformat()),
    datetime.time: lambda value: str(value.isoformat()),
    uuid.UUID: str,
}
