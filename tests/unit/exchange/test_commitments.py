"""Commitments: which digests the contract has accepted or rejected, of the rounds that are not closed."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from fedchain.errors import FedchainError, UplinkRejectedError
from fedchain.exchange import Slot
from fedchain.exchange.commitments import Commitments
from fedchain.types import Kind
from tests.unit.exchange.ledger import ALPHA, BETA

ONE, OTHER = b"\x01" * 32, b"\x02" * 32


def slot(sender: str = BETA, *, round: int = 1, step: int = 0) -> Slot:
    return Slot(round, 0, step, Kind.HISTOGRAM, sender.lower(), "")


def rejected(sender: str, reason: str = "SLOT_TAKEN") -> FedchainError:
    return UplinkRejectedError(sender, "an uplink", reason)


def raised(commitments: Commitments, **wanted: bytes) -> FedchainError | None:
    """The error that waiting for these digests ends with, by the names of their senders."""
    slots = {slot({"alpha": ALPHA, "beta": BETA}[name]): digest for name, digest in wanted.items()}
    make = commitments.rejection(slots)
    return None if make is None else make()


def test_a_digest_is_missing_until_that_very_digest_is_accepted() -> None:
    commitments, wanted = Commitments(), {slot(step=0): ONE, slot(step=1): ONE}
    assert commitments.missing(wanted) == [slot(step=0), slot(step=1)]
    commitments.accept(slot(step=0), ONE)
    commitments.accept(slot(step=1), OTHER)
    assert commitments.missing(wanted) == [slot(step=1)]


def test_a_missing_slot_that_holds_another_digest_is_contradicted() -> None:
    commitments = Commitments()
    commitments.accept(slot(step=1), OTHER)
    assert commitments.contradicted([slot(step=0), slot(step=2)]) is None
    assert commitments.contradicted([slot(step=0), slot(step=1), slot(step=2)]) == slot(step=1)


def test_a_rejection_concerns_those_alone_who_need_that_very_digest() -> None:
    """Else a junk uplink would keep a party from closing a round that the others close."""
    commitments = Commitments()
    commitments.reject(slot(), ONE, lambda: rejected("beta"))
    assert raised(commitments, alpha=ONE) is None
    assert raised(commitments, beta=OTHER) is None
    error = raised(commitments, alpha=ONE, beta=ONE)
    assert isinstance(error, UplinkRejectedError)
    assert error.sender == "beta"


def test_what_was_rejected_and_then_accepted_is_not_missing() -> None:
    commitments = Commitments()
    commitments.reject(slot(), ONE, lambda: rejected("beta"))
    commitments.accept(slot(), ONE)
    assert raised(commitments, beta=ONE) is None


def test_of_several_rejections_of_a_digest_the_first_counts() -> None:
    commitments = Commitments()
    for reason in ("WRONG_ROUND", "SLOT_TAKEN"):
        error = rejected("beta", reason)
        commitments.reject(slot(), ONE, lambda error=error: error)  # type: ignore[misc]
    assert "WRONG_ROUND" in str(raised(commitments, beta=ONE))


def test_a_forgotten_rejection_leaves_what_was_accepted_and_makes_room_for_a_new_one() -> None:
    commitments = Commitments()
    commitments.accept(slot(ALPHA), ONE)
    commitments.reject(slot(), ONE, lambda: rejected("beta", "WRONG_ROUND"))
    commitments.forget_rejections()
    assert raised(commitments, beta=ONE) is None
    assert commitments.missing({slot(ALPHA): ONE}) == []
    commitments.reject(slot(), ONE, lambda: rejected("beta", "SLOT_TAKEN"))
    assert "SLOT_TAKEN" in str(raised(commitments, beta=ONE))


_SLOTS = [
    slot(sender, round=round, step=step) for sender, round, step in itertools.product((ALPHA, BETA), (1, 2), (0, 1))
]
_DIGESTS = st.sampled_from([ONE, OTHER])


@given(
    accepted=st.lists(st.tuples(st.sampled_from(_SLOTS), _DIGESTS)),
    wanted=st.dictionaries(st.sampled_from(_SLOTS), _DIGESTS),
    dropped=st.sets(st.sampled_from(_SLOTS)),
)
def test_what_is_missing_is_all_that_is_wanted_without_what_was_accepted_last_and_not_dropped(
    accepted: list[tuple[Slot, bytes]], wanted: dict[Slot, bytes], dropped: set[Slot]
) -> None:
    commitments = Commitments()
    for one, digest in accepted:
        commitments.accept(one, digest)
    commitments.drop(lambda one: one in dropped)
    there = {one: digest for one, digest in accepted if one not in dropped}
    assert len(commitments) == len(there)
    missing = commitments.missing(wanted)
    assert missing == [one for one, digest in wanted.items() if (one, digest) not in there.items()]
    assert (commitments.contradicted(missing) is None) == (not any(one in there for one in missing))
