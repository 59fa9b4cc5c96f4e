"""What one check of the doctor found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_MAX_TEXT = 2000


class Level(Enum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One check; no value of the table, no key and no passphrase is ever in it.

    Attributes:
        check: what was looked at.
        level: `fail` where the node cannot work like that.
        found: one line.
        fix: one line that says what to do; empty where nothing is to be done.
    """

    check: str
    level: Level
    found: str
    fix: str = ""


def ok(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(_plain(check), Level.OK, _plain(found))


def warn(check: str, found: str, fix: str) -> Finding:
    """The node works, or will, but somebody should look at it."""
    return Finding(_plain(check), Level.WARN, _plain(found), _plain(fix))


def fail(check: str, found: str, fix: str) -> Finding:
    """The node cannot work."""
    return Finding(_plain(check), Level.FAIL, _plain(found), _plain(fix))


def failed(check: str, error: BaseException, fix: str = "") -> Finding:
    """A check that ended with an error of ours: what is wrong, and after the last semicolon what to do."""
    found, separator, remedy = " ".join(str(error).split()).rpartition("; ")
    if fix or not separator:
        return fail(check, " ".join(str(error).split()), fix or "mend that, and run the doctor again")
    return fail(check, found, remedy)


def _plain(text: str) -> str:
    """One line of printable characters: strangers wrote parts of it into the registry."""
    line = " ".join(text.split())[:_MAX_TEXT]
    return "".join(letter if letter.isprintable() else "?" for letter in line)
