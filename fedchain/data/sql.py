"""The result of one SELECT statement in a database as records, through SQLAlchemy.

The database is only read: PostgreSQL gets a read-only transaction, SQLite and DuckDB files are opened read-only, and
nothing is ever committed elsewhere. Rows come in chunks, from a server-side cursor where the driver has one.
The URL holds a password: no message of this module holds it.
What the values' texts mean is said in `fedchain.data.cells`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from fedchain.data.cells import row_texts
from fedchain.data.records import Records, Rows, checked_names
from fedchain.data.statement import require_select
from fedchain.errors import ConfigError, DataError

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, CursorResult

CHUNK_ROWS = 8192
"""Rows that are fetched at a time."""

_REMEDY = "cast it to text or a number in the query"
_MEMORY = (None, "", ":memory:")
_MOST_CHARACTERS = 300
_OPEN_OPTIONS = ("host", "hostaddr", "port", "dbname", "sslmode", "connect_timeout")
"""Options of a URL that messages may name; any other may be a secret."""


@dataclass(frozen=True)
class Query:
    """One SELECT statement and the database that answers it.

    Attributes:
        url: SQLAlchemy's URL with the password; never shown.
        statement: the SELECT or WITH statement.
        folder: relative paths of database files count from here.
    """

    url: str = field(repr=False)
    statement: str
    folder: Path = Path()

    @contextmanager
    def records(self) -> Iterator[Records]:
        """Run the statement; the records can be read inside the ``with``.

        Raises:
            ConfigError: SQLAlchemy or the database's driver is not installed, or the statement is not one SELECT.
            DataError: the URL is none, the database does not answer, or refuses the statement.
        """
        require_select(self.statement)
        try:
            import sqlalchemy
        except ImportError:
            raise ConfigError("[data] query needs SQLAlchemy; install it with `pip install 'fedchain[sql]'`") from None
        url = self._url()
        source = f"query at {url.set(query={}).render_as_string(hide_password=True)}"
        if _is_file(url) and not Path(str(url.database)).is_file():
            raise DataError(f"{source}: no such database file")
        said = _Said(self.url, url, source)
        try:
            engine = sqlalchemy.create_engine(
                _read_only_url(url),
                poolclass=sqlalchemy.NullPool,
                hide_parameters=True,
                connect_args=_connect_args(url),
            )
        except ImportError as error:
            raise ConfigError(
                f"{source}: the database's driver is not installed ({error.name}); PostgreSQL and DuckDB come with "
                "`pip install 'fedchain[sql]'`"
            ) from None
        except Exception as error:  # drivers raise what they like; their words may hold the URL
            raise said.error(error) from None
        try:
            connection = said.guard(engine.connect)
            try:
                yield said.guard(lambda: self._run(connection, url, said))
            finally:
                said.guard(connection.close)
        finally:
            engine.dispose()

    def _url(self) -> URL:
        """The URL, with the driver that is there and an absolute path.

        Raises:
            DataError: not a URL.
        """
        from sqlalchemy.engine import make_url

        try:
            url = make_url(self.url.strip())
            url.get_backend_name()
        except Exception:
            raise DataError(
                "the database URL of [data] is none; expected driver://user:password@host:port/database"
            ) from None
        if url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        if _is_file(url):
            url = url.set(database=str((self.folder / Path(str(url.database)).expanduser()).absolute()))
        return url

    def _run(self, connection: Connection, url: URL, said: _Said) -> Records:
        options: dict[str, Any] = {"stream_results": True, "yield_per": CHUNK_ROWS, "no_parameters": True}
        if url.get_backend_name() == "postgresql":
            options["postgresql_readonly"] = True
        result = connection.execution_options(**options).exec_driver_sql(self.statement.strip().rstrip(";"))
        names = checked_names(list(result.keys()), said.source)
        return Records(said.source, names, lambda places: _rows(result, names, places, said))


def _rows(result: CursorResult[Any], names: Sequence[str], places: Sequence[int], said: _Said) -> Rows:
    wanted = [names[place] for place in places]
    row = 0
    while chunk := said.guard(lambda: result.fetchmany(CHUNK_ROWS)):
        for values in chunk:
            row += 1
            yield row, row_texts([values[place] for place in places], wanted, said.source, row, _REMEDY)


def _is_file(url: URL) -> bool:
    return url.get_backend_name() in ("sqlite", "duckdb") and url.database not in _MEMORY


def _read_only_url(url: URL) -> URL:
    if url.get_backend_name() != "sqlite" or not _is_file(url):
        return url
    return url.set(database=f"file:{quote(str(url.database))}").update_query_dict({"mode": "ro", "uri": "true"})


def _connect_args(url: URL) -> dict[str, Any]:
    return {"read_only": True} if url.get_backend_name() == "duckdb" and _is_file(url) else {}


@dataclass(frozen=True)
class _Said:
    """What a driver said, without the URL, its password and its options."""

    text: str
    url: URL
    source: str

    def guard(self, call: Any) -> Any:
        """The call's result.

        Raises:
            DataError: whatever the driver raised, in one line without secrets.
        """
        try:
            return call()
        except DataError:
            raise
        except Exception as error:  # drivers raise what they like; their words may hold secrets
            raise self.error(error) from None

    def error(self, error: Exception) -> DataError:
        """One line."""
        line = " ".join(str(getattr(error, "orig", None) or error).split())
        for secret in sorted(self._secrets(), key=len, reverse=True):
            line = line.replace(secret, "***")
        return DataError(f"{self.source}: {line[:_MOST_CHARACTERS] or type(error).__name__}")

    def _secrets(self) -> set[str]:
        values = [self.text.strip(), self.url.render_as_string(hide_password=False), self.url.password or ""]
        for key, value in self.url.query.items():
            if key not in _OPEN_OPTIONS:
                values += [value] if isinstance(value, str) else value
        return {form for value in values for form in (value, quote(value), quote_plus(value)) if form}
