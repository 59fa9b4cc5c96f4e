"""What an audit has checked, and what did not match."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mismatch:
    """Two things of the record that contradict each other.

    Attributes:
        check: which check found it.
        detail: what was expected and what was found.
        party: address of the party whose act it is; None where it is nobody's, or where that cannot be told.
        block: in which it shows, None for the contracts' state and for files.
    """

    check: str
    detail: str
    party: str | None = None
    block: int | None = None


@dataclass
class Tally:
    """How often one check was made.

    Attributes:
        checked: things that were looked at.
        failed: of these, how many did not match.
        unreachable: things that this audit could not look at, such as payloads that are not on the chain.
    """

    checked: int = 0
    failed: int = 0
    unreachable: int = 0


class Checklist:
    """Collects checks and mismatches, in the order in which they are made."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self.mismatches: list[Mismatch] = []

    def check(
        self, name: str, holds: bool, detail: str = "", *, party: str | None = None, block: int | None = None
    ) -> bool:
        """Count a check; returns whether it holds.

        Args:
            name: what is checked, in a few words.
            holds: the outcome.
            detail: of the mismatch, if it is one.
            party: see `Mismatch`.
            block: see `Mismatch`.
        """
        tally = self.tallies.setdefault(name, Tally())
        tally.checked += 1
        if not holds:
            tally.failed += 1
            self.mismatches.append(Mismatch(name, detail, party, block))
        return holds

    def equal(
        self,
        name: str,
        found: object,
        expected: object,
        what: str,
        *,
        party: str | None = None,
        block: int | None = None,
    ) -> bool:
        """Count a comparison; see `check`."""
        return self.check(
            name,
            found == expected,
            f"{what}: expected {_text(expected)}, found {_text(found)}",
            party=party,
            block=block,
        )

    def unreachable(self, name: str, count: int = 1) -> None:
        """Count what could not be checked."""
        if count:
            self.tallies.setdefault(name, Tally()).unreachable += count


def _text(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
