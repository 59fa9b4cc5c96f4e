"""PayloadStore: whole files only, verified on every read, bounded."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.crypto.merkle import payload_digest
from fedchain.errors import ConfigError, DigestMismatchError, MessageError, PayloadUnavailableError
from fedchain.exchange import PayloadStore


@given(payload=st.binary(min_size=1, max_size=200_000))
@settings(max_examples=25, deadline=None)
def test_what_was_put_comes_back_under_its_merkle_digest(
    payload: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = PayloadStore(tmp_path_factory.mktemp("store"))
    digest = store.put(payload)
    assert digest == payload_digest(payload)
    assert store.get(digest) == payload


def test_a_file_changed_on_disk_is_refused(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path / "store")
    digest = store.put(b"honest bytes")
    (tmp_path / "store" / digest.hex()).write_bytes(b"forged bytes")
    with pytest.raises(DigestMismatchError, match=digest.hex()):
        store.get(digest)


def test_putting_again_mends_a_changed_file(tmp_path: Path) -> None:
    store = PayloadStore(tmp_path / "store")
    digest = store.put(b"honest bytes")
    (tmp_path / "store" / digest.hex()).write_bytes(b"")
    assert store.put(b"honest bytes") == digest
    assert store.get(digest) == b"honest bytes"


def test_a_payload_that_was_never_put_is_unavailable_and_names_the_owner(tmp_path: Path) -> None:
    with pytest.raises(PayloadUnavailableError, match="alpha"):
        PayloadStore(tmp_path, owner="alpha").get(bytes(32))


@pytest.mark.parametrize("size", [0, 101])
def test_a_payload_out_of_bounds_is_not_taken(tmp_path: Path, size: int) -> None:
    store = PayloadStore(tmp_path / "store", max_payload_bytes=100)
    with pytest.raises(MessageError):
        store.put(bytes(size))
    assert list((tmp_path / "store").iterdir()) == []


def test_a_full_store_takes_nothing_more_even_after_reopening(tmp_path: Path) -> None:
    PayloadStore(tmp_path, max_total_bytes=100).put(bytes(60))
    with pytest.raises(ConfigError, match="full"):
        PayloadStore(tmp_path, max_total_bytes=100).put(b"\x01" * 41)


def test_an_interrupted_write_leaves_no_payload_behind(tmp_path: Path) -> None:
    (tmp_path / "abcdef.part").write_bytes(b"half")
    store = PayloadStore(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PayloadUnavailableError):
        store.get(payload_digest(b"half"))


def test_a_digest_cannot_name_a_file_outside_the_store(tmp_path: Path) -> None:
    with pytest.raises(MessageError):
        PayloadStore(tmp_path).get(b"../../etc/passwd")
