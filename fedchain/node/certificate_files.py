"""Where a node keeps certificate and key, and how one pair replaces another so that a kill at any moment leaves one.

1. A new pair is *staged*: written whole, key and certificate in one file, beside the key's file.
2. It is registered.
3. It is *installed*: the key's file is replaced, then the certificate's, and the staged file goes.

While there is a staged file it is the node's identity: a node that starts registers it, and installs it. So whatever
was begun is finished, and it does not matter between which two steps a process was killed.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from fedchain.chain.files import remove_leftovers, sync_folder, write_atomically
from fedchain.errors import ConfigError, MessageError
from fedchain.exchange import Identity
from fedchain.exchange.tls import der_of, fingerprint_of
from fedchain.node.config import NodeConfig

log = structlog.get_logger(__name__)

_READ_TRIES = 20
_READ_PAUSE_SECONDS = 0.05


@dataclass(frozen=True)
class CertificateFiles:
    """A node's certificate and key on the disk. One process at a time changes them: the one with the state folder.

    Attributes:
        certificate: PEM.
        key: PEM.
        name: of the node.
    """

    certificate: Path
    key: Path
    name: str

    @classmethod
    def of(cls, config: NodeConfig) -> CertificateFiles:
        """Those that a `node.toml` names."""
        return cls(config.keys.certificate.resolve(), config.keys.certificate_key.resolve(), config.name)

    @property
    def staged_file(self) -> Path:
        """Key and certificate that are to replace the others; there only while they do."""
        return self.key.with_name(f"{self.key.name}.next")

    def load(self) -> Identity:
        """The identity with which the node starts; made where there is none.

        Raises:
            ConfigError: see `Identity.load_or_create`.
        """
        staged = self.staged()
        return staged or Identity.load_or_create(self.certificate, self.key, self.name)

    def staged(self) -> Identity | None:
        """The pair that is to replace the other, if there is one.

        Raises:
            ConfigError: the file is damaged, or another party's.
        """
        path = self.staged_file
        if not path.exists():
            return None
        try:
            found = Identity.load(path, path)
        except ConfigError as error:
            raise ConfigError(f"{error}; or remove {path.name}: the rotation is then to be started again") from error
        if found.name != self.name:
            raise ConfigError(f"{path}: is of '{found.name}', this node is '{self.name}'; remove it")
        return found

    def installed_fingerprint(self) -> bytes:
        """SHA-256 of the certificate that a staged one is to replace; empty where there is none, or no certificate."""
        try:
            return fingerprint_of(der_of(self.certificate.read_bytes()))
        except (OSError, MessageError):
            return b""

    def stage(self) -> Identity:
        """A new pair on the disk, mode 0600; or the one of a rotation that was not finished.

        Raises:
            ConfigError: the folder cannot be written.
        """
        staged = self.staged()
        if staged is not None:
            return staged
        made = Identity.create(self.name)
        try:
            remove_leftovers(self.staged_file)
            write_atomically(self.staged_file, made.key_pem + made.certificate_pem, mode=0o600)
            sync_folder(self.key.parent)
        except OSError as error:
            raise ConfigError(_cannot(self.staged_file, error)) from error
        return made

    def install(self, identity: Identity) -> None:
        """Put the staged pair in the place of the other, which is gone then. Doing it twice is harmless.

        Raises:
            ConfigError: a folder cannot be written; the staged pair stays.
        """
        try:
            for path in (self.staged_file, self.key, self.certificate):
                remove_leftovers(path)
            write_atomically(self.key, identity.key_pem, mode=0o600)
            write_atomically(self.certificate, identity.certificate_pem, mode=0o600)
            for folder in {self.key.parent, self.certificate.parent}:
                sync_folder(folder)
            self.staged_file.unlink(missing_ok=True)
            sync_folder(self.key.parent)
        except OSError as error:
            raise ConfigError(_cannot(self.key, error)) from error

    def finish(self, identity: Identity) -> None:
        """Install the staged pair, if it is this one, which the registry holds.

        Raises:
            ConfigError: see `install`.
        """
        staged = self.staged()
        if staged is not None and staged.fingerprint == identity.fingerprint:
            self.install(identity)
            log.info("certificate installed", fingerprint=identity.fingerprint.hex())

    def read(self) -> dict[Path, bytes]:
        """All files that there are and their bytes, of one moment: while a running node replaces them, too."""
        found: dict[Path, bytes] = {}
        for _ in range(_READ_TRIES):
            found = {}
            for path in (self.staged_file, self.key, self.certificate):  # in the order of `install`
                with contextlib.suppress(FileNotFoundError):
                    found[path] = path.read_bytes()
            if self.staged_file in found or self._is_whole(found):
                break
            time.sleep(_READ_PAUSE_SECONDS)
        return found

    def _is_whole(self, found: dict[Path, bytes]) -> bool:
        """Whether key and certificate belong together, or there are none."""
        if self.key not in found or self.certificate not in found:
            return not found
        try:
            Identity.of_pem(found[self.certificate], found[self.key])
        except ConfigError:
            return False
        return True


def _cannot(path: Path, error: OSError) -> str:
    return (
        f"{error.filename or path}: cannot be written ({error.strerror}); "
        "certificate and key must be in folders that this node's user may write to"
    )
