"""Contributions in words: shares and what stands beside them, their audit, points, and what a check came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedchain.cli.output import print_pairs, print_rows

if TYPE_CHECKING:
    from fedchain.node.contribution_checks import Verification
    from fedchain.node.contributions import Contributions

_E6 = 1_000_000
_POINTS = 8
"""So many running shares are shown; `--json` has all."""


def show_contributions(found: Contributions) -> None:
    """A job's contributions."""
    message = found.message
    gains = {} if message is None else found.by_name(message.gains_e6)
    values = {} if message is None else found.by_name(message.p_values_e6)
    rows = []
    for place, (name, share) in enumerate(found.shares_e6.items()):
        gain = f"{gains[name] / _E6:.1%}" if gains else "-"
        value = f"{values[name] / _E6:.3f}" if values and place else "-"
        rows.append((name, f"{share / _E6:+.6f}", f"{found.parts[name]:.1%}", gain, value))
    where = "recorded by nobody" if found.block is None else f"block {found.block}"
    print_rows(
        f"job {found.job_id}, {where}: utility (minus squared error) {found.empty_e6 / _E6:.6f} "
        f"of nobody, {found.full_e6 / _E6:.6f} of all",
        ("party", "share", "part", "split gain (gameable)", "p-value"),
        rows,
    )
    if found.method:
        print_pairs("", [("measured by", found.method)])
    if found.differs:
        recorded = ", ".join(f"{name} {share / _E6:+.6f}" for name, share in found.recorded_e6.items()) or "nothing"
        print_pairs("", [("recorded otherwise", f"{recorded}: not what the posted losses come to")])
    if len(found.running_e6) > 1:
        _show_running(found)
    _show_audit(found)
    if found.settlement is not None:
        print_rows(
            f"settlement: {found.settlement.state}, budget {found.settlement.budget} points",
            ("party", "gets", "withheld", "why withheld"),
            [
                (
                    line.party,
                    0 if line.withheld else line.points,
                    line.points if line.withheld else 0,
                    line.withheld or "-",
                )
                for line in found.settlement.lines
            ],
        )


def _show_running(found: Contributions) -> None:
    points = found.running_e6
    chosen = sorted({round(place * (len(points) - 1) / (_POINTS - 1)) for place in range(_POINTS)})
    print_rows(
        "shares along the rounds, at points evenly spaced",
        ("point", *found.names),
        [(f"{place + 1} of {len(points)}", *(f"{one / _E6:+.6f}" for one in points[place])) for place in chosen],
    )


def _show_audit(found: Contributions) -> None:
    audit = found.audit
    if audit is None:
        print_pairs("", [("audit", "none: these shares are the active party's word")])
        return
    pairs: list[tuple[str, object]] = [
        ("audit", audit.outcome or "under way"),
        ("opened rows", f"{audit.terms.opened_rows} of {audit.terms.rows}"),
        *((f"vote of {name}", vote) for name, vote in found.votes().items()),
        *((f"silence of {name}", ", ".join(steps)) for name, steps in found.silent().items()),
    ]
    weak = [name for place, name in enumerate(found.names) if audit.weak >> place & 1]
    if weak:
        pairs.append(("weak, no accusation", ", ".join(weak)))
    print_pairs("", pairs)


def show_verification(verified: Verification) -> None:
    """What was recomputed."""
    print_rows(
        "recomputed",
        ("what", "checked", "do not match", "out of reach"),
        [(name, one.checked, one.failed, one.unreachable) for name, one in verified.checks.tallies.items()],
    )
    if verified.checks.mismatches:
        print_rows(
            "what does not match", ("check", "detail"), [(one.check, one.detail) for one in verified.checks.mismatches]
        )
    print_pairs("", [("not checked", one) for one in verified.beyond])
