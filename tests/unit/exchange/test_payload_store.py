"""PayloadStore: whole files only, verified on every read, bounded, with who may fetch them, for as long as agreed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.crypto.merkle import payload_digest
from fedchain.errors import ConfigError, DigestMismatchError, MessageError, PayloadUnavailableError
from fedchain.exchange import Access, PayloadStore, Retention
from fedchain.exchange.incoming import IncomingStore
from fedchain.exchange.retention import DAY_SECONDS, Sweeper
from tests.unit.exchange.peers import JOB, OTHER_JOB, address_of

TO_BETA = Access(JOB, (address_of("beta"),))
ALSO_TO_GAMMA = Access(JOB, (address_of("gamma"),))
ELSEWHERE = Access(OTHER_JOB, (address_of("delta"),))


@given(payload=st.binary(min_size=1, max_size=200_000))
@settings(max_examples=25, deadline=None)
def test_what_was_put_comes_back_under_its_merkle_digest(
    payload: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = PayloadStore(tmp_path_factory.mktemp("store"))
    digest = store.put(payload, TO_BETA)
    assert digest == payload_digest(payload)
    assert store.get(digest) == payload


def test_a_file_changed_on_disk_is_refused(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path / "store")
    digest = store.put(b"honest bytes", TO_BETA)
    (tmp_path / "store" / digest.hex()).write_bytes(b"forged bytes")
    with pytest.raises(DigestMismatchError, match=digest.hex()):
        store.get(digest)


def test_putting_again_mends_a_changed_file(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path / "store")
    digest = store.put(b"honest bytes", TO_BETA)
    (tmp_path / "store" / digest.hex()).write_bytes(b"")
    assert store.put(b"honest bytes", TO_BETA) == digest
    assert store.get(digest) == b"honest bytes"


def test_a_payload_that_was_never_put_is_unavailable_and_names_the_owner(tmp_path: Path) -> None:
    with pytest.raises(PayloadUnavailableError, match="alpha"):
        PayloadStore(tmp_path, owner="alpha").get(bytes(32))


@pytest.mark.parametrize("size", [0, 101])
def test_a_payload_out_of_bounds_is_not_taken(tmp_path: Path, size: int) -> None:
    store = PayloadStore(tmp_path / "store", max_payload_bytes=100)
    with pytest.raises(MessageError):
        store.put(bytes(size), TO_BETA)
    assert list((tmp_path / "store").iterdir()) == []


def test_a_full_store_takes_nothing_more_even_after_reopening(tmp_path: Path) -> None:
    PayloadStore(tmp_path, max_total_bytes=100).put(bytes(60), TO_BETA)
    with pytest.raises(ConfigError, match="full"):
        PayloadStore(tmp_path, max_total_bytes=100).put(b"\x01" * 41, TO_BETA)


def test_an_interrupted_write_leaves_no_payload_behind(tmp_path: Path) -> None:
    (tmp_path / "abcdef.part").write_bytes(b"half")
    store = PayloadStore(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PayloadUnavailableError):
        store.get(payload_digest(b"half"))


def test_a_digest_cannot_name_a_file_outside_the_store(tmp_path: Path) -> None:
    with pytest.raises(MessageError):
        PayloadStore(tmp_path).get(b"../../etc/passwd")


# -- who may fetch -----------------------------------------------------------------------------------------------------


def allowed(store: PayloadStore, digest: bytes) -> set[str]:
    holding = store.open(digest).holding
    return {name for name in ("alpha", "beta", "gamma", "delta") if holding.allows(address_of(name))}


def test_only_recipients_may_fetch_also_after_a_restart(tmp_path: Path) -> None:
    digest = PayloadStore(tmp_path).put(b"payload", TO_BETA)
    assert allowed(PayloadStore(tmp_path), digest) == {"beta"}


def test_an_address_counts_in_any_spelling(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path)
    digest = store.put(b"payload", Access(JOB, ("0xABCDEF",)))
    assert store.open(digest).holding.allows("0xabcdef")


def test_the_same_payload_for_others_is_for_all_of_them(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path)
    for access in (TO_BETA, ALSO_TO_GAMMA, ELSEWHERE, TO_BETA):
        digest = store.put(b"payload", access)
    assert allowed(PayloadStore(tmp_path), digest) == {"beta", "gamma", "delta"}


def test_a_payload_without_its_access_file_is_gone_after_a_restart(tmp_path: Path) -> None:
    digest = PayloadStore(tmp_path).put(b"payload", TO_BETA)
    (tmp_path / f"{digest.hex()}.access").unlink()
    assert not PayloadStore(tmp_path).has(digest)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80"])
def test_a_damaged_access_file_shuts_everybody_out_until_the_payload_is_put_again(
    tmp_path: Path, content: bytes
) -> None:
    store = PayloadStore(tmp_path)
    digest = store.put(b"payload", TO_BETA)
    (tmp_path / f"{digest.hex()}.access").write_bytes(content)
    with pytest.raises(DigestMismatchError, match="access"):
        store.open(digest)
    again = PayloadStore(tmp_path)
    with pytest.raises(PayloadUnavailableError):
        again.open(digest)
    again.put(b"payload", TO_BETA)
    assert allowed(again, digest) == {"beta"}


def test_runs_of_chunks_begin_anywhere_and_are_checked(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path)
    payload = bytes(range(256)) * 3000
    stored = store.open(store.put(payload, TO_BETA))
    for first in (0, 1, 7, 11):
        assert b"".join(data for _, data in stored.runs(first)) == payload[first * 65536 :]
    changed = bytearray(payload)
    changed[-1] ^= 1
    stored.path.write_bytes(changed)
    runs = stored.runs(4)
    assert next(runs)[0] == 4
    with pytest.raises(DigestMismatchError):
        next(runs)


# -- how long ----------------------------------------------------------------------------------------------------------


def test_payloads_of_an_ended_job_go_and_those_of_others_stay(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path, max_total_bytes=20)
    gone, shared = store.put(b"of one job", TO_BETA), store.put(b"of both", TO_BETA)
    store.put(b"of both", ELSEWHERE)
    store.forget(JOB)
    assert not store.has(gone)
    assert allowed(PayloadStore(tmp_path), shared) == {"delta"}
    assert len(list(tmp_path.iterdir())) == 2
    store.put(b"now it fits", ELSEWHERE)


def test_forgetting_an_unknown_job_does_nothing(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path)
    digest = store.put(b"payload", TO_BETA)
    store.forget(OTHER_JOB)
    assert store.get(digest) == b"payload"


def test_forever_keeps_payloads_and_who_may_fetch_them(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path, retention=Retention.of("forever"))
    digest = store.put(b"payload", TO_BETA)
    store.forget(JOB)
    assert store.sweep(time.time() + 1000 * DAY_SECONDS) == 0
    assert allowed(store, digest) == {"beta"}


def test_a_payload_that_one_job_needs_no_more_goes_and_its_others_stay(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path, max_total_bytes=20)
    gone, needed = store.put(b"of a round", TO_BETA), store.put(b"of another", TO_BETA)
    store.release(gone, JOB)
    assert not store.has(gone)
    assert sorted(path.name for path in tmp_path.iterdir()) == [needed.hex(), f"{needed.hex()}.access"]
    store.put(b"it fits 10", TO_BETA)


def test_a_payload_that_another_job_needs_stays_for_that_one_alone(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path)
    store.put(b"of both", TO_BETA)
    digest = store.put(b"of both", ELSEWHERE)
    store.release(digest, JOB)
    assert allowed(store, digest) == allowed(PayloadStore(tmp_path), digest) == {"delta"}
    assert store.get(digest) == b"of both"
    store.release(digest, OTHER_JOB)
    assert list(tmp_path.iterdir()) == []


def test_releasing_what_is_not_there_or_another_jobs_does_nothing(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path)
    digest = store.put(b"payload", TO_BETA)
    store.release(digest, OTHER_JOB)
    store.release(bytes(32), JOB)
    assert store.get(digest) == b"payload"


def test_a_released_payload_stays_as_long_as_those_of_ended_jobs(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path, retention=Retention.of(3))
    released, kept = store.put(b"released", TO_BETA), store.put(b"kept", TO_BETA)
    store.release(released, JOB)
    assert allowed(store, released) == {"beta"}
    assert PayloadStore(tmp_path, retention=Retention.of(3)).sweep(time.time() + 2.9 * DAY_SECONDS) == 0
    again = PayloadStore(tmp_path, retention=Retention.of(3))
    assert again.sweep(time.time() + 3.1 * DAY_SECONDS) == 1
    assert (again.has(released), again.has(kept)) == (False, True)


def test_days_count_from_the_jobs_first_end_also_after_a_restart(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path, retention=Retention.of(3))
    digest = store.put(b"payload", TO_BETA)
    assert store.sweep(time.time() + 10 * DAY_SECONDS) == 0  # the job has not ended
    store.forget(JOB)
    again = PayloadStore(tmp_path, retention=Retention.of(3))
    again.forget(JOB)
    assert again.sweep(time.time() + 2.9 * DAY_SECONDS) == 0
    assert again.has(digest)
    assert again.sweep(time.time() + 3.1 * DAY_SECONDS) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_payload_put_again_belongs_to_a_job_that_is_on_again(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path, retention=Retention.of(1))
    digest = store.put(b"payload", TO_BETA)
    store.forget(JOB)
    store.put(b"payload", TO_BETA)
    assert store.sweep(time.time() + 2 * DAY_SECONDS) == 0
    assert store.has(digest)


def test_the_sweeper_sweeps_by_itself(tmp_path: Path) -> None:
    kept = PayloadStore(tmp_path, retention=Retention(0.3))
    digest = kept.put(b"payload", TO_BETA)
    kept.forget(JOB)
    assert kept.has(digest)
    sweeper = Sweeper((kept,), every_seconds=0.05)
    deadline = time.monotonic() + 5.0
    while kept.has(digest) and time.monotonic() < deadline:
        time.sleep(0.02)
    sweeper.close()
    assert not kept.has(digest)


def test_unfinished_transfers_of_an_ended_job_go_whatever_is_kept(tmp_path: Path) -> None:
    store = IncomingStore(tmp_path, retention=Retention.of("forever"))
    for job in (JOB, OTHER_JOB):
        with store.transfer(job, bytes(32), 100_000, b"\x01" * 32):
            pass
    store.forget(JOB)
    assert len(list((tmp_path / "partial").glob("*/*.part"))) == 1


def test_two_senders_of_one_digest_do_not_wait_for_each_other(tmp_path: Path) -> None:
    store = IncomingStore(tmp_path)
    with store.transfer(JOB, bytes(32), 9, b"\x01" * 32) as one, store.transfer(JOB, bytes(32), 9, b"\x02" * 32) as two:
        assert one.path != two.path


def test_a_received_payload_is_served_to_nobody(tmp_path: Path) -> None:
    store = IncomingStore(tmp_path)
    digest = payload_digest(b"payload")
    with store.transfer(JOB, digest, 7, b"\x01" * 32) as partial:
        partial.add_leaves(0, digest)
        partial.add(0, b"payload")
    assert store.received(digest) == b"payload"
    assert allowed(store, digest) == set()
