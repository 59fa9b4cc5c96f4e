"""A session file: private to its owner, exact, and refused when damaged."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.errors import ModelFormatError, SealError
from fedchain.federation.session import Keys, Session
from tests.protocol.boosting import BANK, OPERATOR, ROSTER, SHOP, job_keys


def example() -> Session:
    return Session(job_keys()[BANK], ("a", "ü", "10"), (0, 2), bytes(range(48)))


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_file_can_be_read_by_its_owner_alone(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "session"
    path.write_bytes(b"an old file")
    path.chmod(0o666)
    before = os.umask(umask)
    try:
        example().save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_left_over_temporary_file_of_others_does_not_lend_its_mode(tmp_path: Path) -> None:
    path, temporary = tmp_path / "session", tmp_path / "session.tmp"
    temporary.write_bytes(b"left over")
    temporary.chmod(0o644)
    example().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not temporary.exists()


def test_saving_and_loading_gives_the_same_session(tmp_path: Path) -> None:
    session = example()
    session.save(tmp_path / "session")
    assert Session.load(tmp_path / "session") == session


@given(st.binary(max_size=200))
def test_any_other_bytes_are_a_typed_error(raw: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "session"
        path.write_bytes(raw)
        with pytest.raises(ModelFormatError, match="session"):
            Session.load(path)


def test_missing_cut_and_later_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "session"
    with pytest.raises(ModelFormatError, match="cannot be read"):
        Session.load(path)
    session = example()
    session.save(path)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1])
    with pytest.raises(ModelFormatError, match="cannot be read"):
        Session.load(path)
    msgspec.structs.replace(session, version=4).save(path)
    with pytest.raises(ModelFormatError, match="version 4, this fedchain reads up to 3"):
        Session.load(path)
    path.write_bytes(msgspec.msgpack.encode({**msgspec.to_builtins(session, builtin_types=(bytes,)), "more": 1}))
    with pytest.raises(ModelFormatError, match="cannot be read"):
        Session.load(path)


def test_nothing_secret_shows_in_the_text_of_a_session_or_its_keys() -> None:
    session = example()
    for text in (repr(session), str(session), repr(session.keys), f"{session.keys}"):
        assert session.keys.private.hex() not in text
        assert repr(session.keys.private) not in text
        assert "ü" not in text


def test_what_is_sealed_opens_for_its_recipients_and_its_context_alone() -> None:
    keys = job_keys()
    sealed = keys[BANK].seal_to(OPERATOR, b"secret", "predict/1/bits")
    assert keys[OPERATOR].unseal(sealed, "predict/1/bits", BANK) == b"secret"
    for reader, context, sender in [
        (SHOP, "predict/1/bits", BANK),
        (BANK, "predict/1/bits", BANK),
        (OPERATOR, "predict/2/bits", BANK),
        (OPERATOR, "predict/1/bits", SHOP),
    ]:
        with pytest.raises(SealError):
            keys[reader].unseal(sealed, context, sender)
    everybody = keys[BANK].seal_to_roster(b"rows", "partition/1/0")
    assert {keys[party].unseal(everybody, "partition/1/0", BANK) for party in ROSTER} == {b"rows"}


def test_a_payload_of_another_job_does_not_open_even_under_the_same_keys() -> None:
    keys = job_keys()
    other = {party: Keys(one.me, b"t" * 32, one.private, one.public) for party, one in keys.items()}
    sealed = keys[BANK].seal_to_roster(b"rows", "partition/1/0")
    with pytest.raises(SealError):
        other[OPERATOR].unseal(sealed, "partition/1/0", BANK)


def test_both_parties_of_a_pair_tag_a_row_alike_and_every_pair_and_epoch_otherwise() -> None:
    keys, rows = job_keys(), bytes(range(48))
    sessions = {me: Session(keys[me], ("a", "b", "c"), row_tags=rows) for me in ROSTER}
    pairs = {(me, peer): sessions[me].request_tags(peer, 1) for me in ROSTER for peer in ROSTER if me != peer}
    assert all(pairs[me, peer] == pairs[peer, me] for me, peer in pairs)
    assert len(set(pairs.values())) == len(pairs) / 2
    assert pairs[BANK, SHOP] != sessions[BANK].request_tags(SHOP, 2)
    assert len(pairs[BANK, SHOP]) == len(rows)


def test_tags_of_another_job_are_others() -> None:
    one, other = (Session(job_keys()[BANK], ("a",), row_tags=bytes(16)) for _ in range(2))
    assert one.request_tags(SHOP, 1) != other.request_tags(SHOP, 1)


def test_a_session_of_an_earlier_fedchain_is_read_and_has_no_request_tags(tmp_path: Path) -> None:
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(example()))
    del old["row_tags"]
    (tmp_path / "session").write_bytes(msgspec.msgpack.encode({**old, "version": 1}))
    session = Session.load(tmp_path / "session")
    assert session.ids == example().ids
    with pytest.raises(ModelFormatError, match="no row tags"):
        session.request_tags(SHOP, 1)


def test_partial_rows_come_after_the_aligned_ones_with_their_holders_and_tags() -> None:
    keys, rows, tags = job_keys(), bytes(range(32)), bytes(range(100, 132))
    sessions = {
        me: Session(
            keys[me],
            ("a", "b"),
            row_tags=rows,
            partial_ids=("x", "y"),
            partial_tags=tags,
            partial_holders=b"\x03\x05",
        )
        for me in ROSTER
    }
    one = sessions[BANK]
    assert one.known_ids == ("a", "b", "x", "y")
    assert one.known_holders.tolist() == [7, 7, 3, 5]
    assert one.known_tags(SHOP, 4) == sessions[SHOP].known_tags(BANK, 4)
    assert one.known_tags(SHOP, 4)[:32] == one.request_tags(SHOP, 4)
    assert len(one.known_tags(SHOP, 4)) == 64


@pytest.mark.parametrize("damage", [{"partial_tags": bytes(31)}, {"partial_holders": b"\x03"}, {"partial_ids": ("x",)}])
def test_partial_rows_without_their_tags_or_holders_are_refused(tmp_path: Path, damage: dict[str, object]) -> None:
    whole = {"partial_ids": ("x", "y"), "partial_tags": bytes(32), "partial_holders": b"\x03\x05"}
    msgspec.structs.replace(example(), **{**whole, **damage}).save(tmp_path / "session")
    with pytest.raises(ModelFormatError, match="tags or holders missing"):
        Session.load(tmp_path / "session")


def test_a_session_without_partial_rows_of_the_version_before_is_read(tmp_path: Path) -> None:
    old = msgspec.msgpack.decode(msgspec.msgpack.encode(example()))
    for name in ("partial_ids", "partial_tags", "partial_holders"):
        del old[name]
    (tmp_path / "session").write_bytes(msgspec.msgpack.encode({**old, "version": 2}))
    session = Session.load(tmp_path / "session")
    assert session.known_ids == example().ids
    assert session.known_tags(SHOP, 1) == session.request_tags(SHOP, 1)
