"""A node's TLS identity: a P-256 key and a self-signed certificate, which the registry holds for all to see.

The chain takes the place of a certification authority: a certificate is trusted because its owner's account has put it
into the registry and a steward has accredited the account. So it says little: the party's name, and a server name
that is made from its key. All certificates have one canonical form, and any other is refused: what a peer registers
ends in every node's list of roots, and one that the TLS library cannot read would close it.

Sources: RFC 5280 (profile, and 9999-12-31 for "no end"); https://cryptography.io/en/latest/x509/
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedchain.chain.files import write_atomically
from fedchain.errors import ConfigError, MessageError

NODE_DOMAIN = "fedchain-node"
"""Ends the server name in every node's certificate; the rest is made from its key, and nothing of it from a host.

Who dials names the certificate that it expects: so a node can serve two of its own while one replaces the other.
"""

MAX_CERTIFICATE_BYTES = 2048
"""Bytes of DER that the registry takes; an ordinary certificate has about 450."""

_MAX_PEM_BYTES = 16_384
_NAME = re.compile(r"[a-z0-9_-]{1,64}")
_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
_NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)
_CLOCKS_DIFFER_BY = timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A node's certificate and its private key. Neither `repr` nor `str` shows the key.

    Attributes:
        name: the party's name, as in the registry.
        certificate: DER; public.
        certificate_pem: the same as PEM.
        key_pem: private key, PKCS 8 PEM; secret.
    """

    name: str
    certificate: bytes = field(repr=False)
    certificate_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)

    @classmethod
    def create(cls, name: str) -> Identity:
        """A new key from the operating system's generator, and its certificate, valid without end.

        Raises:
            ConfigError: not a party's name.
        """
        if not _NAME.fullmatch(name):
            raise ConfigError(f"name {name[:80]!r}: must be 1 to 64 characters of a-z, 0-9, '_' and '-'")
        key = ec.generate_private_key(ec.SECP256R1())
        begin = datetime.now(timezone.utc).replace(microsecond=0) - _CLOCKS_DIFFER_BY
        unsigned = _builder(name, key.public_key(), x509.random_serial_number(), begin, _NO_END)
        return cls._of(name, unsigned.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, certificate: Path, key: Path) -> Identity:
        """Read both files.

        Raises:
            ConfigError: missing, readable by others, not a node's certificate, or not its key; names the file.
        """
        return cls.of_pem(_read_private(certificate), _read_private(key), str(certificate), str(key))

    @classmethod
    def of_pem(
        cls, certificate_pem: bytes, key_pem: bytes, certificate: str = "certificate", key: str = "key"
    ) -> Identity:
        """Parse both; `certificate` and `key` say in messages where they are from.

        Raises:
            ConfigError: not a node's certificate, or not its key.
        """
        try:
            found = x509.load_pem_x509_certificate(certificate_pem)
            name = check_certificate(found.public_bytes(Encoding.DER))
        except (ValueError, MessageError) as error:
            raise ConfigError(
                f"{certificate}: not a node's certificate ({error}); "
                "`fedchain node rotate certificate DIR` puts another in its place"
            ) from error
        try:
            secret = load_pem_private_key(key_pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigError(f"{key}: not an unencrypted private key in PEM form") from None
        if not isinstance(secret, ec.EllipticCurvePrivateKey) or secret.public_key() != found.public_key():
            raise ConfigError(f"{key}: is not the key of {certificate}; restore the file that belongs to it")
        return cls._of(name, found, secret)

    @classmethod
    def load_or_create(cls, certificate: Path, key: Path, name: str) -> Identity:
        """Read both files, or write new ones where both are missing.

        Raises:
            ConfigError: one is missing, they are not valid (see `load`), or are those of another party.
        """
        if not certificate.exists() and not key.exists():
            cls.create(name).save(certificate, key)
        found = cls.load(certificate, key)
        if found.name != name:
            raise ConfigError(
                f"{certificate}: is the certificate of '{found.name}', this node is '{name}'; "
                f"move it and {key} away, and a new one is made at the next start"
            )
        return found

    def save(self, certificate: Path, key: Path) -> None:
        """Write both files with mode 0600.

        Raises:
            ConfigError: one exists (nothing is overwritten), or the folder cannot be written.
        """
        for path in (key, certificate):
            if path.exists():
                raise ConfigError(f"{path}: exists already; keys are never overwritten")
        try:
            write_atomically(key, self.key_pem, mode=0o600)
            write_atomically(certificate, self.certificate_pem, mode=0o600)
        except OSError as error:
            raise ConfigError(f"{error.filename or key}: cannot be written ({error.strerror})") from error

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate, 32 bytes, as the registry computes it."""
        return fingerprint_of(self.certificate)

    def days_left(self) -> int | None:
        """Whole days until the certificate ends; None for one without end, as `create` makes them."""
        end = x509.load_der_x509_certificate(self.certificate).not_valid_after_utc
        return None if end >= _NO_END else (end - datetime.now(timezone.utc)).days

    @classmethod
    def _of(cls, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Identity:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return cls(name, certificate.public_bytes(Encoding.DER), certificate.public_bytes(Encoding.PEM), pem)


def fingerprint_of(certificate: bytes) -> bytes:
    """SHA-256 of a certificate's DER, 32 bytes."""
    return hashlib.sha256(certificate).digest()


def server_name_of(certificate: bytes) -> str:
    """The server name in a checked certificate, by which whoever dials its node asks for it (SNI).

    Args:
        certificate: DER.
    """
    return _server_name(x509.load_der_x509_certificate(certificate).public_key())


def pem_of(certificate: bytes) -> bytes:
    """A checked certificate's DER as PEM."""
    return x509.load_der_x509_certificate(certificate).public_bytes(Encoding.PEM)


def der_of(pem: bytes) -> bytes:
    """DER of a certificate that the TLS library gives as PEM.

    Raises:
        MessageError: not a certificate.
    """
    try:
        return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except ValueError as error:
        raise MessageError("not a certificate in PEM form") from error


def check_certificate(certificate: bytes) -> str:
    """Check that a stranger's certificate has the one form that `Identity.create` gives them.

    Args:
        certificate: DER, from the registry.

    Returns:
        The party's name in it (which the caller compares with the registry's).

    Raises:
        MessageError: anything is different; says what.
    """
    if not 1 <= len(certificate) <= MAX_CERTIFICATE_BYTES:
        raise MessageError(f"a certificate has 1 to {MAX_CERTIFICATE_BYTES} bytes, this one has {len(certificate)}")
    try:
        found = x509.load_der_x509_certificate(certificate)
        key = found.public_key()
        names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        begin, end = found.not_valid_before_utc, found.not_valid_after_utc
        signed = found.tbs_certificate_bytes
    except Exception as error:  # the library's errors for malformed bytes have no common base
        raise MessageError(f"not an X.509 certificate: {str(error)[:200]}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MessageError("the certificate's key is not on the curve P-256")
    name = str(names[0].value) if names else ""
    if not _NAME.fullmatch(name):
        raise MessageError("the certificate's common name is not a party's name")
    try:
        found.verify_directly_issued_by(found)
        # the same fields in canonical form, signed by anyone: the signed part must be equal to the last bit
        twin = _builder(name, key, found.serial_number, begin, end).sign(_any_key(), hashes.SHA256())
        expected = twin.tbs_certificate_bytes
        whole = _der(0x30, signed + _ECDSA_SHA256 + _der(0x03, b"\x00" + _canonical_signature(found.signature)))
    except Exception as error:
        raise MessageError(f"the certificate is not self-signed as a node's is: {str(error)[:200]}") from error
    if expected != signed or whole != certificate:
        raise MessageError("the certificate is not in the form that `fedchain node init` gives it")
    if not begin <= datetime.now(timezone.utc) + _CLOCKS_DIFFER_BY <= end:
        raise MessageError(f"the certificate is valid from {begin} to {end} only")
    return name


def _builder(
    name: str, key: ec.EllipticCurvePublicKey, serial: int, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    """The one form of a node's certificate; not a CA: it can vouch for nobody else."""
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    return (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(purposes, critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_server_name(key))]), critical=False)
    )


def _server_name(key: CertificatePublicKeyTypes) -> str:
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"{hashlib.sha256(encoded).hexdigest()[:32]}.{NODE_DOMAIN}"


def _der(tag: int, body: bytes) -> bytes:
    """One DER element."""
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def _canonical_signature(signature: bytes) -> bytes:
    return encode_dss_signature(*decode_dss_signature(signature))


def _any_key() -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(1, ec.SECP256R1())


def _read_private(path: Path) -> bytes:
    """The bytes of a file that only its owner may read."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigError(f"{path}: others may read it; run `chmod 600 {path}`")
            return file.read(_MAX_PEM_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; restore it, or move certificate and key away together") from None
