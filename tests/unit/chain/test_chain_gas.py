"""Gas limits: never below what a chain demands for the calldata, never below what was estimated."""

from hypothesis import given
from hypothesis import strategies as st

from fedchain.chain.gas import LARGEST_TRANSACTION, batch_gas, floor_gas, uplink_gas, with_margin
from fedchain.types import INLINE_LIMIT


def test_the_floor_is_that_of_the_rules() -> None:
    assert floor_gas(b"") == 21_000
    assert floor_gas(b"\x00") == 21_010
    assert floor_gas(b"\x01") == 21_040
    assert floor_gas(b"", creates=True) == 53_000
    assert floor_gas(b"\x01" * 32, creates=True) == 53_000 + 32 * 16 + 2
    assert floor_gas(b"\x01" * 10_000, creates=True) == 21_000 + 400_000


@given(st.integers(21_000, 2 * LARGEST_TRANSACTION), st.integers(21_000, 2 * LARGEST_TRANSACTION))
def test_a_limit_holds_estimate_and_floor_and_the_margin_where_a_transaction_may_be_so_large(
    estimate: int, floor: int
) -> None:
    limit = with_margin(estimate, floor)
    assert limit >= max(estimate, floor)
    assert limit >= min(estimate * 1.25, LARGEST_TRANSACTION)
    assert limit <= max(LARGEST_TRANSACTION, estimate, floor)


def test_a_full_payload_and_a_full_batch_stay_within_the_largest_transaction() -> None:
    calldata = INLINE_LIMIT + 500
    assert floor_gas(b"\x01" * calldata) < uplink_gas(calldata) < LARGEST_TRANSACTION
    assert batch_gas(1) < batch_gas(100) < batch_gas(256) < LARGEST_TRANSACTION
