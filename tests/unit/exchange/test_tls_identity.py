"""A node's certificate: private files, and one form only, because every node puts it among its roots."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.errors import ConfigError, MessageError
from fedchain.exchange import Identity
from fedchain.exchange.tls import MAX_CERTIFICATE_BYTES, check_certificate, fingerprint_of, server_name_of

ALPHA = Identity.create("alpha")
NOW = datetime.now(timezone.utc).replace(microsecond=0)
Change = Callable[[x509.CertificateBuilder], x509.CertificateBuilder]


def test_a_new_identity_is_small_public_and_private_where_it_should_be() -> None:
    assert check_certificate(ALPHA.certificate) == "alpha"
    assert len(ALPHA.certificate) < 600
    assert b"PRIVATE" in ALPHA.key_pem
    assert "PRIVATE" not in repr(ALPHA)
    assert fingerprint_of(ALPHA.certificate) == ALPHA.fingerprint


def test_two_identities_of_one_name_have_different_fingerprints() -> None:
    assert Identity.create("alpha").fingerprint != ALPHA.fingerprint


@pytest.mark.parametrize("name", ["", "Alpha", "a b", "a" * 65, "älpha"])
def test_only_a_partys_name_gets_a_certificate(name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        Identity.create(name)


# -- files -------------------------------------------------------------------------------------------------------------


def files(folder: Path) -> tuple[Path, Path]:
    return folder / "certificate.pem", folder / "certificate.key"


def test_files_are_private_and_load_as_they_were_saved(tmp_path: Path) -> None:
    ALPHA.save(*files(tmp_path))
    assert [stat.S_IMODE(path.stat().st_mode) for path in files(tmp_path)] == [0o600, 0o600]
    assert Identity.load(*files(tmp_path)) == ALPHA


def test_a_node_without_files_gets_new_ones_and_keeps_them(tmp_path: Path) -> None:
    first = Identity.load_or_create(*files(tmp_path), "alpha")
    assert Identity.load_or_create(*files(tmp_path), "alpha") == first


@pytest.mark.parametrize("which", [0, 1])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, which: int) -> None:
    ALPHA.save(*files(tmp_path))
    files(tmp_path)[which].chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        Identity.load(*files(tmp_path))


@pytest.mark.parametrize("which", [0, 1])
def test_one_missing_file_is_refused_and_nothing_is_made_anew(tmp_path: Path, which: int) -> None:
    ALPHA.save(*files(tmp_path))
    missing = files(tmp_path)[which]
    missing.unlink()
    with pytest.raises(ConfigError, match=missing.name):
        Identity.load_or_create(*files(tmp_path), "alpha")
    assert not missing.exists()


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    "content",
    [b"", b"junk", ALPHA.key_pem[:100], b"-----BEGIN CERTIFICATE-----\nAA==\n"],
    ids=["empty", "junk", "half a key", "no certificate"],
)
def test_a_damaged_file_is_a_config_error_that_names_it(tmp_path: Path, which: int, content: bytes) -> None:
    ALPHA.save(*files(tmp_path))
    damaged = files(tmp_path)[which]
    damaged.write_bytes(content)
    with pytest.raises(ConfigError, match=damaged.name):
        Identity.load(*files(tmp_path))


def test_another_certificates_key_is_refused(tmp_path: Path) -> None:
    ALPHA.save(*files(tmp_path))
    files(tmp_path)[1].write_bytes(Identity.create("alpha").key_pem)
    with pytest.raises(ConfigError, match="is not the key of"):
        Identity.load(*files(tmp_path))


def test_another_partys_certificate_is_refused(tmp_path: Path) -> None:
    ALPHA.save(*files(tmp_path))
    with pytest.raises(ConfigError, match=r"certificate of 'alpha', this node is 'beta'"):
        Identity.load_or_create(*files(tmp_path), "beta")


def test_files_are_never_overwritten(tmp_path: Path) -> None:
    ALPHA.save(*files(tmp_path))
    with pytest.raises(ConfigError, match="never overwritten"):
        ALPHA.save(*files(tmp_path))


# -- strangers' certificates -------------------------------------------------------------------------------------------


def server_name_for(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    """What a certificate of that key has to have."""
    encoded = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(encoded).hexdigest()[:32] + ".fedchain-node"


def forged(
    *,
    name: x509.Name | None = None,
    issuer: x509.Name | None = None,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    begin: datetime = NOW - timedelta(days=1),
    end: datetime = NOW + timedelta(days=400),
    server_name: str = "",
    ca: bool = False,
    extra: bool = False,
    digest: hashes.SHA256 | hashes.SHA384 | None = None,
) -> bytes:
    """A certificate by hand; by default it has the right form."""
    name = name or x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mallory")])
    key = key or ec.generate_private_key(ec.SECP256R1())
    good = x509.load_der_x509_certificate(ALPHA.certificate).extensions
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(good.get_extension_for_class(x509.KeyUsage).value, critical=True)
        .add_extension(good.get_extension_for_class(x509.ExtendedKeyUsage).value, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(server_name or server_name_for(key))]), critical=False)
    )
    if extra:
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"x"), False)
    return builder.sign(key, digest or hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_certificate_made_elsewhere_in_the_right_form_is_accepted() -> None:
    assert check_certificate(forged()) == "mallory"


def named(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


@pytest.mark.parametrize(
    "certificate",
    [
        pytest.param(lambda: forged(ca=True), id="can vouch for others"),
        pytest.param(lambda: forged(server_name="example.org"), id="another server name"),
        pytest.param(lambda: forged(server_name="fedchain-node"), id="a server name that all could have"),
        pytest.param(lambda: forged(server_name=server_name_of(ALPHA.certificate)), id="another key's server name"),
        pytest.param(lambda: forged(extra=True), id="one more extension"),
        pytest.param(lambda: forged(digest=hashes.SHA384()), id="another hash"),
        pytest.param(lambda: forged(key=ec.generate_private_key(ec.SECP384R1())), id="another curve"),
        pytest.param(lambda: forged(key=rsa.generate_private_key(65537, 2048)), id="RSA"),
        pytest.param(lambda: forged(name=named((NameOID.COMMON_NAME, "Mallory Inc"))), id="not a party's name"),
        pytest.param(lambda: forged(name=named((NameOID.ORGANIZATION_NAME, "x"))), id="no common name"),
        pytest.param(
            lambda: forged(name=named((NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b"))), id="two names"
        ),
        pytest.param(lambda: forged(issuer=named((NameOID.COMMON_NAME, "root"))), id="issued by another"),
        pytest.param(lambda: forged(end=NOW - timedelta(hours=1)), id="expired"),
        pytest.param(lambda: forged(begin=NOW + timedelta(days=30)), id="not valid yet"),
        pytest.param(lambda: ALPHA.certificate + b"\x00", id="one byte more"),
        pytest.param(lambda: ALPHA.certificate[:-1], id="one byte less"),
        pytest.param(lambda: b"", id="empty"),
        pytest.param(lambda: bytes(MAX_CERTIFICATE_BYTES + 1), id="too long"),
        pytest.param(lambda: ALPHA.certificate_pem, id="PEM"),
    ],
)
def test_any_other_form_is_refused(certificate: Callable[[], bytes]) -> None:
    with pytest.raises(MessageError):
        check_certificate(certificate())


def test_no_bit_of_a_certificate_can_be_changed() -> None:
    """All of them, in four certificates: where a signature ends with zero bits, their number can be miscounted."""
    for identity in (Identity.create("alpha") for _ in range(4)):
        for position in range(len(identity.certificate)):
            for bit in range(8):
                changed = bytearray(identity.certificate)
                changed[position] ^= 1 << bit
                with pytest.raises(MessageError):
                    check_certificate(bytes(changed))


def test_a_signature_whose_zero_bits_are_miscounted_is_refused() -> None:
    while True:
        certificate = bytearray(Identity.create("alpha").certificate)
        at = certificate.rindex(b"\x03", 0, -64)
        if certificate[-1] % 2 == 0 and certificate[at + 2 : at + 4] == b"\x00\x30":
            break
    certificate[at + 2] = 1
    with pytest.raises(MessageError, match="form"):
        check_certificate(bytes(certificate))


@given(junk=st.binary(max_size=600))
@settings(max_examples=200, deadline=None)
def test_junk_is_refused_without_a_crash(junk: bytes) -> None:
    with pytest.raises(MessageError):
        check_certificate(junk)
