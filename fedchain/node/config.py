"""`node.toml`: who this node is, which chain, which keys, which table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, ValidationError

from fedchain.data.source import TableSource
from fedchain.errors import ConfigError
from fedchain.node.secret import secret_line
from fedchain.node.sections import (
    AlignmentSection,
    AnomaliesSection,
    ApiSection,
    ChainSection,
    DataSection,
    JobsSection,
    KeysSection,
    MetricsSection,
    Section,
    ServeSection,
    StateSection,
)

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_SOCKET_PATH = 103
"""Bytes: what the shortest of the usual limits (104 with the closing zero) leaves for a socket's path."""

_MAX_CONFIG_BYTES = 1 << 20


class NodeConfig(Section):
    """All of `node.toml`, paths made absolute against the file's folder.

    Attributes:
        name: the name to register under, 1 to 64 characters of a-z, 0-9, `_` and `-`.
        poll_seconds: pause between looks at the chain's head while a job waits.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    poll_seconds: Annotated[float, Field(gt=0, le=60)] = 0.02
    chain: ChainSection
    keys: KeysSection = KeysSection()
    data: DataSection
    serve: ServeSection = ServeSection()
    state: StateSection = StateSection()
    jobs: JobsSection = JobsSection()
    alignment: AlignmentSection = AlignmentSection()
    anomalies: AnomaliesSection = AnomaliesSection()
    metrics: MetricsSection = MetricsSection()
    api: ApiSection = ApiSection()
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """Of `node.toml`, absolute."""
        return self._folder

    @property
    def control_socket(self) -> Path:
        """Path of the control socket.

        Raises:
            ConfigError: longer than a socket's path may be.
        """
        path = self.serve.control_socket or self.state.folder / "node.sock"
        return checked_socket_path(path)

    def passphrase(self) -> str:
        """The keystore's passphrase, one line of a file that only its owner may read.

        Raises:
            ConfigError: missing, empty, or readable by others.
        """
        return secret_line(self.keys.passphrase_file, "[keys] passphrase_file", "the keystore's passphrase")

    @property
    def table(self) -> TableSource:
        """Where this party's table is.

        Raises:
            ConfigError: a database's URL is missing, or others may read its file.
        """
        return self.data.source(self.folder)


def load_config(path: Path) -> NodeConfig:
    """Read and validate a `node.toml`.

    Raises:
        ConfigError: missing, not TOML, unknown key, or a value out of range; names file, key and remedy.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_CONFIG_BYTES).decode("utf-8")
        raw: dict[str, Any] = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; create a node with `fedchain node init`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    try:
        config = NodeConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_problem(error)}") from error
    return _resolved(config, path.resolve().parent)


def checked_socket_path(path: Path) -> Path:
    """`path`, if it fits into a socket address.

    Raises:
        ConfigError: too long.
    """
    if len(str(path).encode()) > MAX_SOCKET_PATH:
        raise ConfigError(
            f"[serve] control_socket {path}: a socket's path has at most {MAX_SOCKET_PATH} bytes; set a shorter one, "
            'for example control_socket = "/tmp/my-node/node.sock"'
        )
    return path


def _resolved(config: NodeConfig, base: Path) -> NodeConfig:
    def at(path: Path) -> Path:
        return base / path.expanduser()

    socket, data, api = config.serve.control_socket, config.data, config.api
    resolved = config.model_copy(
        update={
            "chain": config.chain.model_copy(update={"deployment": at(config.chain.deployment)}),
            "keys": KeysSection(
                keystore=at(config.keys.keystore),
                passphrase_file=at(config.keys.passphrase_file),
                certificate=at(config.keys.certificate),
                certificate_key=at(config.keys.certificate_key),
                encryption_key=at(config.keys.encryption_key),
            ),
            "data": data.model_copy(
                update={
                    "path": None if data.path is None else at(data.path),
                    "url_file": None if data.url_file is None else at(data.url_file),
                }
            ),
            "serve": config.serve.model_copy(update={"control_socket": None if socket is None else at(socket)}),
            "api": api.model_copy(
                update={
                    "certificate": None if api.certificate is None else at(api.certificate),
                    "certificate_key": None if api.certificate_key is None else at(api.certificate_key),
                }
            ),
            "state": config.state.model_copy(update={"folder": at(config.state.folder)}),
        }
    )
    resolved._folder = base
    return resolved


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    problem = problems[0]
    key = ".".join(str(part) for part in problem["loc"]) or "top level"
    if problem["type"] == "extra_forbidden":
        text = f"unknown key '{key}'; remove it, or compare with the file that `fedchain node init` writes"
    elif problem["type"] == "missing":
        text = f"key '{key}' is missing; add it"
    elif problem["type"] == "value_error":
        text = f"[{key}]: {problem['msg'].removeprefix('Value error, ')}"
    elif key == "name":
        text = "key 'name': must be 1 to 64 characters of a-z, 0-9, '_' and '-'"
    else:
        text = f"key '{key}': {problem['msg']}; mend its value"
    return text if len(problems) == 1 else f"{text} (and {len(problems) - 1} more)"
