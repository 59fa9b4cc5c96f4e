"""A Parquet file as records: read in batches, and only the columns that are asked for.

Dictionary-encoded columns are their values; timestamps finer than microseconds lose what is finer.
What the values' texts mean is said in `fedchain.data.cells`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedchain.data.cells import row_texts
from fedchain.data.records import Records, Rows, checked_names
from fedchain.errors import ConfigError, DataError

BATCH_ROWS = 16_384
"""Rows that are decoded at a time."""

_REMEDY = "write the column as numbers, text, booleans, dates or timestamps"


def parquet_records(path: Path) -> Records:
    """Open a Parquet file.

    Raises:
        ConfigError: the library is not installed; names the extra.
        DataError: no such file, or no Parquet file; so does reading the rows of a damaged one.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ConfigError(
            f"{path}: reading Parquet needs pyarrow; install it with `pip install 'fedchain[parquet]'`"
        ) from None
    source = str(path)
    if not path.exists():
        raise DataError(f"{source}: no such file")
    failures = (pa.ArrowException, OSError, ValueError)
    try:
        file = parquet.ParquetFile(path)
        fields = list(file.schema_arrow)
    except failures as error:
        raise DataError(f"{source}: not a Parquet file, or a damaged one ({_line(error)})") from None
    names = checked_names([field.name for field in fields], source)

    def read(places: Sequence[int]) -> Rows:
        wanted = [fields[place] for place in places]
        row = 0
        with file:
            batches = file.iter_batches(batch_size=BATCH_ROWS, columns=[field.name for field in wanted])
            while True:
                try:
                    batch = next(batches, None)
                    if batch is None:
                        return
                    columns = [_values(pa, batch.column(field.name)) for field in wanted]
                except failures as error:
                    raise DataError(f"{source}, after row {row}: cannot be read ({_line(error)})") from None
                for values in zip(*columns, strict=True):
                    row += 1
                    yield row, row_texts(values, [field.name for field in wanted], source, row, _REMEDY)

    return Records(source, names, read)


def _values(pa: Any, column: Any) -> list[object]:
    """A column's values as Python objects, timestamps and times in microseconds."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("us", tz=None if kind.tz is None else "UTC"), safe=False)
    elif pa.types.is_time64(kind):
        column = column.cast(pa.time64("us"), safe=False)
    elif pa.types.is_float16(kind) or pa.types.is_float32(kind):
        texts = column.cast(pa.float32()).cast(pa.string()).to_pylist()  # the shortest, as databases give them
        return [None if text is None else float(text) for text in texts]
    elif pa.types.is_duration(kind):
        column = column.cast(pa.duration("us"), safe=False)
    values: list[object] = column.to_pylist()
    return values


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
