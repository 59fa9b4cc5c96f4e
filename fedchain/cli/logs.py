"""Logging of the whole process, set up once: to stderr, for people or as JSON lines; secrets are blotted out."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

from fedchain.printable import printable

SECRET_WORDS = ("passphrase", "password", "private", "secret", "mnemonic", "keystore_json", "sealing", "authorization")
REDACTED = "[redacted]"
LEVELS = ("debug", "info", "warning", "error")


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ours, so that a second call knows what to replace."""


class _Stderr:
    """Writes to whatever `sys.stderr` is now."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logging(level: str, *, as_json: bool) -> None:
    """Send structlog's and the standard library's records to stderr; a second call replaces the first.

    Args:
        level: one of `LEVELS`.
        as_json: one JSON object per line instead of text.
    """
    import structlog

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        blot_secrets,
        only_printable,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    last: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if as_json:
        last += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        last.append(
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        )
    handler = _Handler(_Stderr())
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=last, foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if not isinstance(one, _Handler)] + [handler]
    root.setLevel(level.upper())


def only_printable(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: texts, which peers may have written, stay on their line and give a terminal no orders."""
    for key, value in event.items():
        if isinstance(value, str) and not (value.isascii() and value.isprintable()):
            event[key] = printable(value)
    return event


def blot_secrets(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: values under a name that sounds secret are replaced."""
    for key in event:
        if any(word in key.lower() for word in SECRET_WORDS):
            event[key] = REDACTED
    return event
