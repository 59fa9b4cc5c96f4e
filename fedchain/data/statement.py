"""Which SQL a node runs: one statement that reads."""

from __future__ import annotations

from typing import Any

from fedchain.errors import ConfigError

MAX_STATEMENT = 2**16
"""Characters in a statement."""

_REMEDY = "give one SELECT, or WITH … SELECT, statement"


def require_select(statement: str) -> None:
    """One SELECT or WITH … SELECT statement, with or without a closing semicolon.

    This keeps mistakes out. That nothing is written, the database sees to: see `fedchain.data.sql`.

    Raises:
        ConfigError: it is something else, or the parser is not installed.
    """
    try:
        import sqlparse
        from sqlparse import tokens
        from sqlparse.exceptions import SQLParseError
    except ImportError:
        raise ConfigError("[data] query needs sqlparse; install it with `pip install 'fedchain[sql]'`") from None
    if len(statement) > MAX_STATEMENT:
        raise ConfigError(f"[data] query: {len(statement)} characters, at most {MAX_STATEMENT} are supported")
    try:
        parsed: Any = sqlparse.parse(statement)
        found = [one for one in parsed if one.token_first(skip_ws=True, skip_cm=True) is not None]
    except SQLParseError as error:
        raise ConfigError(f"[data] query: cannot be parsed ({error}); simplify it, or make it a view") from None
    if not found:
        raise ConfigError(f"[data] query: is empty; {_REMEDY}")
    leaves = [leaf for one in found for leaf in one.flatten()]
    meaning = [leaf for leaf in leaves if not leaf.is_whitespace and leaf.ttype not in tokens.Comment]
    if any(leaf.ttype is tokens.Punctuation and leaf.value == ";" for leaf in meaning[:-1]):
        raise ConfigError(f"[data] query: holds several statements; {_REMEDY}")
    kind, first = found[0].get_type(), meaning[0].normalized.upper()
    if kind != "SELECT" or first not in ("SELECT", "WITH"):
        raise ConfigError(f"[data] query: begins with {first[:30]!r} and is no SELECT; {_REMEDY}")
