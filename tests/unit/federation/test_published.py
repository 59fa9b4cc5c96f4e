"""A message of contributions has one number for each party of the job."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fedchain.errors import ProtocolViolationError
from fedchain.federation.published import require_fitting
from fedchain.messages import Contribution
from fedchain.types import PartyId

ROSTER = (PartyId("telco"), PartyId("bank"), PartyId("shop"))
THREE = (1, 2, 3)
MESSAGE = Contribution(7, (0,) * 8, THREE, (THREE, THREE), THREE, THREE, THREE, THREE)


def test_one_for_each_fits_and_the_gain_of_splits_may_be_unknown() -> None:
    require_fitting(MESSAGE, ROSTER)
    require_fitting(msgspec.structs.replace(MESSAGE, gains_e6=(), rounds_e6=()), ROSTER)


@pytest.mark.parametrize(
    "changed",
    [
        {"utilities_e6": (0,) * 4},
        {"shares_e6": (1, 2)},
        {"rounds_e6": (THREE, (1, 2))},
        {"gains_e6": (1,)},
        {"p_values_e6": ()},
        {"powers_e6": (1, 2, 3, 4)},
        {"detectable_e6": (1, 2)},
    ],
)
def test_another_number_names_the_active_party(changed: dict[str, Any]) -> None:
    with pytest.raises(ProtocolViolationError, match="published") as caught:
        require_fitting(msgspec.structs.replace(MESSAGE, **changed), ROSTER)
    assert caught.value.culprit == "telco"
