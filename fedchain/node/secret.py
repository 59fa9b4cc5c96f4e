"""Secrets that a node reads: one line of a file that only its owner may read, or an environment variable."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fedchain.errors import ConfigError


def secret_line(path: Path, key: str, what: str) -> str:
    """The one line of a file.

    Args:
        path: of the file.
        key: of `node.toml` that names it, for messages.
        what: the secret is, for messages.

    Raises:
        ConfigError: missing, empty, more than one line, or readable by others. No message holds the secret.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8").strip("\r\n")
    except UnicodeDecodeError:
        raise ConfigError(f"{key} {path}: is not UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{key} {path}: cannot be read ({error})") from None
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"{key} {path}: others may read it; run `chmod 600 {path}`")
    if not text:
        raise ConfigError(f"{key} {path}: is empty; write {what} into it")
    if "\n" in text or "\r" in text:
        raise ConfigError(f"{key} {path}: has more than one line; leave {what} alone in it")
    return text


def secret_variable(name: str, key: str, what: str) -> str:
    """An environment variable's value.

    Args:
        name: of the variable.
        key: of `node.toml` that names it, for messages.
        what: the secret is, for messages.

    Raises:
        ConfigError: not set, or empty.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        raise ConfigError(f"{key}: the environment variable {name} is not set; set it to {what}")
    return text
