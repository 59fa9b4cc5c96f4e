"""The node's own table: what it looks like, and another one in its place. No cell of it is ever shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from fastapi import Query, Request
from starlette.concurrency import run_in_threadpool

from fedchain.data.description import TableDescription
from fedchain.node.api.asked import Document, TheBounds, TheNode
from fedchain.node.api.endpoint import DATA_OWNER, Endpoint
from fedchain.node.api.problems import Problem
from fedchain.node.tokens import ApiRole

KINDS = {"csv": ("text/csv",), "parquet": ("application/vnd.apache.parquet",)}
"""Media types of a table's body, by what `[data] path` is."""


class Column(Document):
    """One column.

    Attributes:
        kind: `numeric` if every cell that is there is a number and it is not declared categorical.
        declared: what `[data.columns]` says it is.
        missing: rows without a value.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    declared: Literal["id", "label", "weight", "numeric", "categorical"] | None
    missing: int


class TableShape(Document):
    """A table without its cells.

    Attributes:
        source: `csv`, `parquet` or `query`.
        rows: those with a blank id included.
    """

    source: Literal["csv", "parquet", "query"]
    rows: int
    columns: list[Column]


def describe(node: TheNode, bounds: TheBounds) -> TableShape:
    """Rows, columns, their kinds and how many cells are missing. The table is read once after each change."""
    with bounds.describing.one():
        return _shape(node.describe_table())


async def replace(
    request: Request,
    node: TheNode,
    bounds: TheBounds,
    id_column: Annotated[
        str | None,
        Query(
            min_length=1, max_length=256, description="Column with ids, to be checked where [data.columns] names none."
        ),
    ] = None,
) -> TableShape:
    """Put another table in the place of the node's own, of the same kind: CSV (UTF-8) or Parquet.

    It is read as a job would read it first; the table is replaced whole or not at all. Refused while a job runs here.
    """
    with bounds.uploading.one():
        wanted = KINDS.get(await run_in_threadpool(node.table_kind), ())
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if wanted and kind not in wanted:
            raise Problem(415, "unsupported-media-type", f"this node's table is {wanted[0]}; say so in Content-Type")
        part = await run_in_threadpool(node.new_table_file)
        try:
            await _receive(request, part)
            return _shape(await run_in_threadpool(node.replace_table, part, id_column))
        finally:
            part.unlink(missing_ok=True)


async def _receive(request: Request, part: Path) -> None:
    size = 0
    try:
        with part.open("wb") as file:
            async for chunk in request.stream():
                size += len(chunk)
                await run_in_threadpool(file.write, chunk)
    except OSError as error:
        raise Problem(507, "no-room", f"the table cannot be written: {error.strerror}; make room at the node") from None
    if size == 0:
        raise Problem(422, "invalid-request", "the body is empty; send a table")


def _shape(found: TableDescription) -> TableShape:
    columns = [
        Column(name=one.name, kind=one.kind, declared=one.declared, missing=one.missing) for one in found.columns
    ]
    return TableShape(source=found.kind, rows=found.rows, columns=columns)


_BODY = {
    "requestBody": {
        "required": True,
        "content": {kinds[0]: {"schema": {"type": "string", "format": "binary"}} for kinds in KINDS.values()},
    }
}

ENDPOINTS = (
    Endpoint("GET", "/v1/data", describe, DATA_OWNER | {ApiRole.ANALYST}, "data"),
    Endpoint("PUT", "/v1/data", replace, DATA_OWNER, "data", max_body=None, options={"openapi_extra": _BODY}),
)
