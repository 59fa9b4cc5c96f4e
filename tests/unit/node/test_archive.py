"""An encrypted archive gives back what was written, or an error; nothing in between."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.errors import ConfigError, CryptoError
from fedchain.node import archive
from fedchain.node.archive import ArchiveReader, ArchiveWriter

PASSPHRASE = "a dozen letters"
CHUNK = 64
HEADER = len(archive.MAGIC) + 16 + 32


@pytest.fixture(autouse=True, scope="module")
def _quick() -> object:
    patch = pytest.MonkeyPatch()
    patch.setitem(archive._SCRYPT, "n", 2)
    patch.setattr(archive, "CHUNK_BYTES", CHUNK)
    yield
    patch.undo()


def sealed(content: bytes, passphrase: str = PASSPHRASE) -> bytes:
    out = io.BytesIO()
    writer = ArchiveWriter(out, passphrase)
    for start in range(0, len(content), 37):
        writer.write(content[start : start + 37])
    writer.finish()
    return out.getvalue()


def opened(raw: bytes, passphrase: str = PASSPHRASE) -> bytes:
    reader = ArchiveReader(io.BytesIO(raw), passphrase, "the archive")
    content = b"".join(iter(lambda: reader.read(29), b""))
    reader.finish()
    return content


@given(st.binary(max_size=5 * CHUNK))
@settings(deadline=None)
def test_what_was_written_comes_back(content: bytes) -> None:
    assert opened(sealed(content)) == content


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK])
def test_content_around_the_ends_of_chunks_comes_back(size: int) -> None:
    assert opened(sealed(bytes(size))) == bytes(size)


@given(st.data())
@settings(deadline=None)
def test_any_changed_byte_behind_the_header_is_noticed(data: st.DataObject) -> None:
    raw = bytearray(sealed(bytes(3 * CHUNK + 5)))
    place = data.draw(st.integers(HEADER, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CryptoError, match="damaged or cut off"):
        opened(bytes(raw))


@given(st.data())
@settings(deadline=None)
def test_an_archive_that_was_cut_off_anywhere_is_refused(data: st.DataObject) -> None:
    raw = sealed(bytes(3 * CHUNK + 5))
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises((CryptoError, ConfigError)):
        opened(raw[:cut])


def test_chunks_cannot_be_exchanged_or_left_out() -> None:
    raw = sealed(bytes(range(256)))
    step = CHUNK + 16
    first, second = raw[HEADER : HEADER + step], raw[HEADER + step : HEADER + 2 * step]
    for body in (second + first + raw[HEADER + 2 * step :], second + raw[HEADER + 2 * step :]):
        with pytest.raises(CryptoError):
            opened(raw[:HEADER] + body)


def test_bytes_behind_the_end_are_noticed() -> None:
    with pytest.raises(CryptoError):
        opened(sealed(b"content") + b"more")


def test_another_passphrase_is_told_from_damage() -> None:
    with pytest.raises(ConfigError, match="the passphrase does not open it"):
        opened(sealed(b"content"), "another dozen")


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(ConfigError, match="too short"):
        sealed(b"content", "eleven char")


def test_two_archives_of_the_same_content_differ() -> None:
    assert sealed(b"content") != sealed(b"content")


def test_another_file_is_no_archive() -> None:
    with pytest.raises(ConfigError, match="is no archive"):
        opened(b"PK" + bytes(200))
