"""A digest of a table, to know after a restart whether it is still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from fedchain.data.table import Table


def table_digest(table: Table) -> bytes:
    """SHA-256 over all that a table holds but where it came from. It stays with the table's owner.

    Equal tables of different sources have equal digests.

    Returns:
        32 bytes.
    """
    hashed = hashlib.sha256(b"fedchain-table-1")

    def add(part: bytes) -> None:
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)

    def add_texts(texts: Iterable[str | None]) -> None:
        inner = hashlib.sha256()
        for text in texts:
            raw = b"" if text is None else text.encode("utf-8", "surrogatepass")
            inner.update(len(raw).to_bytes(8, "little") if text is not None else b"\xff" * 8)
            inner.update(raw)
        add(inner.digest())

    add_texts(table.ids)
    add_texts(table.classes or ())
    for values in (table.label, table.weight):
        add(b"" if values is None else values.astype("<f8").tobytes())
    for column in table.columns:
        add_texts((column.name, column.kind))
        if column.kind == "numeric":
            add(column.values.astype("<f8").tobytes())
        else:
            add_texts(column.values)
    return hashed.digest()
