"""Serves the API from construction to `close`, in a thread of its own."""

from __future__ import annotations

import logging
import socket
import ssl
import stat
import threading
from pathlib import Path

import structlog
import uvicorn

from fedchain.errors import ConfigError
from fedchain.node.api.app import api_app
from fedchain.node.api.backend import Backend
from fedchain.node.api.gate import OnRequest
from fedchain.node.config import NodeConfig
from fedchain.node.sections import ApiSection
from fedchain.node.tokens import TokenFile

log = structlog.get_logger(__name__)

MAX_CONNECTIONS = 256
MAX_HEADER_BYTES = 16 << 10
"""Of a request's line and headers."""

_GRACE_SECONDS = 2
_STOP_SECONDS = 10.0


class ApiServer:
    """The API over HTTP or HTTPS.

    Args:
        backend: the node.
        config: its own; `[api] port` is set.
        on_request: is told of each request.

    Attributes:
        url: where it is.

    Raises:
        ConfigError: the address cannot be listened on, or certificate and key do not serve.
    """

    def __init__(self, backend: Backend, config: NodeConfig, *, on_request: OnRequest | None = None) -> None:
        section = config.api
        self._board = backend.board
        if section.certificate_key is not None:
            require_private(section.certificate_key)
        app = api_app(
            backend,
            TokenFile(config.state.folder),
            max_upload=section.max_upload_bytes,
            https=section.https,
            on_request=on_request,
        )
        settings = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # whoever connects is the client: a header could claim anything
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            ssl_certfile=section.certificate,
            ssl_keyfile=section.certificate_key,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # the log says itself where the API is
        try:
            settings.load()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"[api] certificate {section.certificate}, certificate_key {section.certificate_key}: do not serve "
                f"({error}); give a PEM certificate (chain) and its unencrypted key"
            ) from error
        self._socket = _listen(section)
        port = self._socket.getsockname()[1]
        host = section.host.strip("[]")
        host = f"[{host}]" if ":" in host else host
        self.url = f"{'https' if section.https else 'http'}://{host}:{port}"
        self._server = uvicorn.Server(settings)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="api", daemon=True)
        self._thread.start()
        if not section.https and section.plain_http_beyond_loopback:
            log.warning("the API is served without TLS: whoever is on the way reads tokens and scores", url=self.url)
        log.info("the API is served", url=self.url)

    def close(self) -> None:
        """Stop; requests under way get two seconds to end."""
        self._server.should_exit = True
        self._board.dismiss()  # streams end by themselves
        self._thread.join(_STOP_SECONDS)
        self._socket.close()


def require_private(path: Path) -> None:
    """The key's file is there, and its owner's alone.

    Raises:
        ConfigError: it is not.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise ConfigError(f"[api] certificate_key {path}: cannot be read ({error.strerror})") from error
    if mode & 0o077:
        raise ConfigError(f"[api] certificate_key {path}: others may read it; run `chmod 600 {path}`")


def _listen(section: ApiSection) -> socket.socket:
    assert section.port is not None
    host = section.host.strip("[]")
    try:
        return socket.create_server(
            (host, section.port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"[api] {section.host}:{section.port}: cannot listen there ({error}); choose another port"
        ) from error
