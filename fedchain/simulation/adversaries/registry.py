"""All faults by name: who commits them, what their amplitudes are drawn from, and by what they are to be found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedchain.simulation.adversaries.data import NoiseFeatures, PartlyShuffledRows, ShuffledRows
from fedchain.simulation.adversaries.party import Adversary
from fedchain.simulation.adversaries.sums import (
    CopiedHistograms,
    DroppedRows,
    GarbagePoints,
    LaterLazyAnswers,
    LazyConstantAnswers,
    MovedSums,
    ReplayedRound,
    ScaledHistograms,
    SignFlippedHistograms,
)
from fedchain.simulation.adversaries.uplinks import (
    Equivocation,
    LateAnswers,
    TakenSlot,
    WrongAttempt,
    WrongKind,
    WrongRound,
    WrongSize,
)

Found = Literal["chain", "check", "test", "flag"]
"""`chain`: a fault on the record names the party; `check`: an error of the active party does; `test`: the free-rider
test finds it weak; `flag`: a histogram of its is flagged."""


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault.

    Attributes:
        name: as in `tpr_<name>`.
        adversary: whoever commits it.
        family: `provable`, `structural`, `histogram`, `free_rider`; `partial`: beyond what is promised, for the record.
        found: what counts as finding it.
        range: of the amplitudes, in words.
    """

    name: str
    adversary: type[Adversary]
    family: Literal["provable", "structural", "histogram", "free_rider", "partial"]
    found: tuple[Found, ...]
    range: str


_FROM = "from a round on, drawn from all"
_SHARE = "of the sums, from 1 in 1000 (at least one) to all, log-uniform"

FAULTS: dict[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind("equivocation", Equivocation, "provable", ("chain",), "digests differ in a bit, wholly, or in size"),
        FaultKind("replayed_round", ReplayedRound, "provable", ("chain",), f"all of the round before, {_FROM}"),
        FaultKind(
            "late_answers", LateAnswers, "structural", ("chain",),
            "1 s to 1 h beyond the round's deadline, log-uniform; in 1 to 3 attempts",
        ),
        FaultKind("wrong_round", WrongRound, "structural", ("chain",), "1 to 1000 rounds away, one uplink"),
        FaultKind("wrong_attempt", WrongAttempt, "structural", ("chain",), "1 to 1000 attempts away, one uplink"),
        FaultKind("wrong_kind", WrongKind, "structural", ("chain",), "another role's or phase's, one uplink"),
        FaultKind("wrong_size", WrongSize, "structural", ("chain",), "0, or 1 to 2^40 bytes too many, one uplink"),
        FaultKind("taken_slot", TakenSlot, "structural", ("chain",), "one slot, a second digest"),
        FaultKind("scaled_histograms", ScaledHistograms, "histogram", ("check",), f"times 2–1000; {_SHARE}; {_FROM}"),
        FaultKind("sign_flipped_histograms", SignFlippedHistograms, "histogram", ("check",), f"{_SHARE}; {_FROM}"),
        FaultKind(
            "dropped_rows", DroppedRows, "histogram", ("check",),
            f"1 in 1000 (at least one) to half of the rows, log-uniform; {_FROM}",
        ),
        FaultKind(
            "garbage_points", GarbagePoints, "histogram", ("check",),
            f"random bytes, off the curve, infinity, other points, swapped; {_SHARE}; {_FROM}",
        ),
        FaultKind(
            "copied_histograms", CopiedHistograms, "histogram", ("check",), f"another party's of the same step, {_FROM}"
        ),
        FaultKind(
            "noise_features", NoiseFeatures, "free_rider", ("test",),
            "all columns, one to five times as many: normal, t(3), log-normal or levels",
        ),
        FaultKind("shuffled_rows", ShuffledRows, "free_rider", ("test",), "all rows"),
        FaultKind(
            "lazy_constant_answers", LazyConstantAnswers, "free_rider", ("test",), "one group per feature, always"
        ),
        FaultKind("partly_shuffled_rows", PartlyShuffledRows, "partial", ("test",), "10 to 90 % of the rows"),
        FaultKind(
            "moved_sums", MovedSums, "partial", ("check", "test"),
            f"1 to 2^20 units between two groups of each feature, log-uniform; {_FROM}",
        ),
        FaultKind(
            "later_lazy_answers", LaterLazyAnswers, "partial", ("test", "flag"), f"one group per feature, {_FROM}"
        ),
    )
}  # fmt: skip
"""In the order of reports."""
