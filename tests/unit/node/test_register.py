"""Which endpoint a node registers before it listens."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedchain.errors import ConfigError
from fedchain.node.config import NodeConfig
from fedchain.node.register import fixed_endpoint
from fedchain.node.sections import ChainSection, DataSection, ServeSection


def config(serve: ServeSection) -> NodeConfig:
    chain = ChainSection(rpc="http://127.0.0.1:1", deployment=Path("d.json"))
    return NodeConfig(name="bank", chain=chain, data=DataSection(path=Path("t.csv")), serve=serve)


def test_the_endpoint_of_node_toml_comes_before_host_and_port() -> None:
    assert fixed_endpoint(config(ServeSection(port=5000, endpoint="bank.example.org:4433"))) == "bank.example.org:4433"
    assert fixed_endpoint(config(ServeSection(host="10.0.0.7", port=5000))) == "10.0.0.7:5000"
    assert fixed_endpoint(config(ServeSection(host="fd00::7", port=5000))) == "[fd00::7]:5000"


def test_an_endpoint_alone_serves_also_where_the_port_is_any() -> None:
    assert fixed_endpoint(config(ServeSection(endpoint="bank.example.org:4433"))) == "bank.example.org:4433"


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_every_address_is_none_that_peers_can_dial(host: str) -> None:
    with pytest.raises(ConfigError, match="peers cannot dial"):
        fixed_endpoint(config(ServeSection(host=host, port=4433)))


def test_any_free_port_cannot_be_registered() -> None:
    with pytest.raises(ConfigError, match=r"\[serve\] port is 0"):
        fixed_endpoint(config(ServeSection()))


def test_a_malformed_endpoint_is_named() -> None:
    with pytest.raises(ConfigError, match="not of the form host:port"):
        fixed_endpoint(config(ServeSection(endpoint="bank.example.org")))
