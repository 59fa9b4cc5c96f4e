"""All faults by name: who commits them, what their amplitudes are drawn from, and by what they are to be found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedchain.simulation.adversaries.data import NoiseFeatures, PartlyShuffledRows, ShuffledRows
from fedchain.simulation.adversaries.label_holder import FalseUtilities, TamperedRows
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
    FastAnswers,
    LateAnswers,
    TakenSlot,
    WrongAttempt,
    WrongKind,
    WrongRound,
    WrongSize,
)

WEAK, FLAGGED, FAST = "weak", "flagged", "fast"
"""Found by the free-rider test; by a flag on a histogram; by an answer that came implausibly fast."""


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault.

    Attributes:
        name: as in `tpr_<name>`.
        adversary: whoever commits it.
        family: what it belongs to; `partial`: beyond what is promised, for the record.
        found: what counts as finding it: names of `Reason`s of faults on the record, of errors that name the party, or
            one of the words above.
        is_label_holder: whether the active party commits it, in an audited job; else a passive one.
        strict: whether it is tried in strict jobs of mode standard alone, where every uplink is on the chain for all to
            see, and all compete for all.
        range: of the amplitudes, in words.
    """

    name: str
    adversary: type[Adversary]
    family: Literal["provable", "structural", "histogram", "free_rider", "label_holder", "partial"]
    found: tuple[str, ...]
    range: str
    strict: bool = False
    is_label_holder: bool = False


SUMS = ("ForgedHistogramError", "ProtocolViolationError")
"""What the active party's checks of sums and points end a job with."""

_FROM = "from a round on, drawn from all"
_SHARE = "of the sums, from 1 in 1000 (at least one) to all, log-uniform"

FAULTS: dict[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind(
            "equivocation", Equivocation, "provable", ("EQUIVOCATION",), "digests differ in a bit, wholly, or in size"
        ),
        FaultKind("replayed_round", ReplayedRound, "provable", ("REPLAY",), f"all of the round before, {_FROM}"),
        FaultKind(
            "late_answers",
            LateAnswers,
            "structural",
            ("MISSING", "DEADLINE_MISSED"),
            "1 s to 1 h beyond the round's deadline, log-uniform; in 1 to 3 attempts",
        ),
        FaultKind("wrong_round", WrongRound, "structural", ("WRONG_ROUND",), "1 to 1000 rounds away, one uplink"),
        FaultKind(
            "wrong_attempt", WrongAttempt, "structural", ("WRONG_ATTEMPT",), "1 to 1000 attempts away, one uplink"
        ),
        FaultKind(
            "wrong_kind",
            WrongKind,
            "structural",
            ("KIND_NOT_ALLOWED", "WRONG_PHASE"),
            "another role's or phase's, one uplink",
        ),
        FaultKind(
            "wrong_size", WrongSize, "structural", ("SIZE_OUT_OF_BOUNDS",), "0, or 1 to 2^40 bytes too many, one uplink"
        ),
        FaultKind("taken_slot", TakenSlot, "structural", ("SLOT_TAKEN",), "one slot, a second digest"),
        FaultKind("scaled_histograms", ScaledHistograms, "histogram", SUMS, f"times 2–1000; {_SHARE}; {_FROM}"),
        FaultKind("sign_flipped_histograms", SignFlippedHistograms, "histogram", SUMS, f"{_SHARE}; {_FROM}"),
        FaultKind(
            "dropped_rows",
            DroppedRows,
            "histogram",
            SUMS,
            f"1 in 1000 (at least one) to half of the rows, log-uniform; {_FROM}",
        ),
        FaultKind(
            "garbage_points",
            GarbagePoints,
            "histogram",
            (*SUMS, "StaleCiphertextError"),
            f"random bytes, off the curve, infinity, other points, swapped; {_SHARE}; {_FROM}",
        ),
        FaultKind(
            "copied_histograms",
            CopiedHistograms,
            "histogram",
            ("StaleCiphertextError",),
            f"another party's of the same step, {_FROM}",
            strict=True,
        ),
        FaultKind(
            "noise_features",
            NoiseFeatures,
            "free_rider",
            (WEAK,),
            "all columns, one to five times as many: normal, t(3), log-normal or levels",
        ),
        FaultKind("shuffled_rows", ShuffledRows, "free_rider", (WEAK,), "all rows"),
        FaultKind("lazy_constant_answers", LazyConstantAnswers, "free_rider", (WEAK,), "one group per feature, always"),
        FaultKind(
            "false_utilities",
            FalseUtilities,
            "label_holder",
            ("CONTRIBUTION_FALSE",),
            "sums of one coalition off by 1e-6 up to 1 % of the rows' worst losses, log-uniform",
            is_label_holder=True,
        ),
        FaultKind(
            "tampered_rows",
            TamperedRows,
            "partial",
            ("CONTRIBUTION_FALSE",),
            "losses of 1 to 50 % of the held-out rows, log-uniform; 30 rows are opened",
            is_label_holder=True,
        ),
        FaultKind("partly_shuffled_rows", PartlyShuffledRows, "partial", (WEAK,), "10 to 90 % of the rows"),
        FaultKind(
            "moved_sums",
            MovedSums,
            "partial",
            (*SUMS, WEAK),
            f"1 to 2^20 units between two groups of each feature, log-uniform; {_FROM}",
        ),
        FaultKind(
            "later_lazy_answers", LaterLazyAnswers, "partial", (WEAK, FLAGGED), f"one group per feature, {_FROM}"
        ),
        FaultKind(
            "fast_answers",
            FastAnswers,
            "partial",
            (FAST,),
            "a thousandth up to a tenth of its usual time, log-uniform, from the second half of the rounds on",
        ),
    )
}
"""In the order of reports."""
