"""The floor of `fedchain bench inference`: as many processes, the same kinds of connection, nothing computed.

`python -m fedchain.bench.inference_echo`: at the back each answers with as many bytes as it is told to, over mutual
TLS; the one in front asks all of them at once for each question that comes over its unix socket.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from fedchain.bench.exchange_child import serve
from fedchain.exchange import Identity
from fedchain.exchange.tls import der_of, server_name_of
from fedchain.node.control_wire import SERVICE

_WORKERS = 96
_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),
]


class Echo:
    """The commands of the process; each returns what goes into its answer."""

    def identify(self, name: str) -> dict[str, Any]:
        """Make a certificate."""
        self._identity = Identity.create(name)
        return {"certificate": self._identity.certificate_pem.decode()}

    def back(self, front: str, size: int) -> dict[str, Any]:
        """Listen to the one in front; each answer has so many bytes."""
        answer = bytes(size)
        self._server = grpc.server(ThreadPoolExecutor(_WORKERS), options=_OPTIONS)
        self._add(lambda question, context: answer)
        pair = [(self._identity.key_pem, self._identity.certificate_pem)]
        port = self._server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(pair, front.encode(), True))
        self._server.start()
        return {"port": port}

    def front(self, socket: str, ports: Sequence[int], certificates: Sequence[str], size: int) -> dict[str, Any]:
        """Listen to the client; each question to those at the back has so many bytes."""
        question = bytes(size)
        stubs = []
        for port, certificate in zip(ports, certificates, strict=True):
            raw = certificate.encode()
            credentials = grpc.ssl_channel_credentials(raw, self._identity.key_pem, self._identity.certificate_pem)
            name = ("grpc.ssl_target_name_override", server_name_of(der_of(raw)))
            channel = grpc.secure_channel(f"127.0.0.1:{port}", credentials, options=[name, *_OPTIONS])
            grpc.channel_ready_future(channel).result(timeout=10.0)
            stubs.append(channel.unary_unary(f"/{SERVICE}/Echo"))

        def relay(raw: bytes, context: grpc.ServicerContext) -> bytes:
            for answer in [stub.future(question) for stub in stubs]:
                answer.result()
            return raw

        Path(socket).unlink(missing_ok=True)
        self._server = grpc.server(ThreadPoolExecutor(_WORKERS), options=_OPTIONS)
        self._add(relay)
        self._server.add_insecure_port(f"unix:{socket}")
        self._server.start()
        return {}

    def _add(self, answer: Any) -> None:
        handlers = {"Echo": grpc.unary_unary_rpc_method_handler(answer)}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


COMMANDS = ("identify", "back", "front")

if __name__ == "__main__":
    echo = Echo()
    serve({name: getattr(echo, name) for name in COMMANDS})
