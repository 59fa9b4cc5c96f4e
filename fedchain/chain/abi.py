"""The contracts' ABI as Python: calldata of calls, values of answers, words of reverts.

Selectors and type strings are derived once per process, so that a call costs one `eth_abi` encoding and nothing else.
Structs become dictionaries by field name, arrays become tuples, addresses checksummed hex.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from eth_abi.codec import ABICodec
from eth_abi.decoding import StringDecoder
from eth_abi.encoding import TextStringEncoder
from eth_abi.exceptions import DecodingError, EncodingError
from eth_abi.registry import BaseEquals, registry
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from fedchain.chain.artifacts import CONTRACT_NAMES, load_artifact
from fedchain.errors import ChainError, ConfigError

Component = dict[str, Any]


class _LenientString(StringDecoder):
    """Contracts do not check that a string is UTF-8: a stranger's bytes must not stop a reader."""

    def __init__(self) -> None:
        super().__init__(handle_string_errors="replace")  # type: ignore[no-untyped-call]


def _codec() -> ABICodec:
    types = registry.copy()  # type: ignore[no-untyped-call]
    types.unregister("string")
    is_string = BaseEquals("string")  # type: ignore[no-untyped-call]
    types.register(is_string, TextStringEncoder, _LenientString, label="string")
    return ABICodec(types)


CODEC = _codec()


@lru_cache(maxsize=4096)
def checksum(address: str) -> str:
    """An address in checksummed hex.

    Raises:
        ConfigError: it is not 0x and 40 hex digits.
    """
    try:
        return str(to_checksum_address(address))
    except (ValueError, TypeError):
        raise ConfigError(f"address {address!r} is not 0x and 40 hex digits") from None


def address_or_none(value: object) -> str | None:
    """An address that a contract answered, None for the zero address, which stands for nobody."""
    return None if value == "0x" + "00" * 20 else str(value)


def type_strings(components: list[Component]) -> tuple[str, ...]:
    """Canonical ABI types, structs as `(type,…)`."""
    return tuple(str(collapse_if_tuple(component)) for component in components)


class Values:
    """A list of ABI components with their type strings: decodes one ABI-encoded tuple."""

    def __init__(self, components: list[Component]) -> None:
        self.components = components
        self.types = type_strings(components)

    def decode(self, data: bytes, what: str) -> tuple[Any, ...]:
        """Decode ABI-encoded values.

        Raises:
            ChainError: they are not of these types.
        """
        try:
            values = CODEC.decode(self.types, data)
        except (DecodingError, OverflowError) as error:
            raise ChainError(f"{what} does not decode; deployment and chain do not fit together: {error}") from error
        return tuple(plain(component, value) for component, value in zip(self.components, values, strict=True))


def plain(component: Component, value: Any) -> Any:
    """A decoded value in this module's conventions."""
    kind: str = component["type"]
    if kind.endswith("[]"):
        inner = {**component, "type": kind[:-2]}
        return tuple(plain(inner, item) for item in value)
    if kind == "address":
        return checksum(value)
    if kind == "tuple":
        parts = component["components"]
        return {part["name"]: plain(part, item) for part, item in zip(parts, value, strict=True)}
    return value


@dataclass(frozen=True)
class Function:
    """One function of a contract."""

    contract: str
    name: str
    selector: bytes
    input_types: tuple[str, ...]
    outputs: Values

    def encode(self, *arguments: object) -> bytes:
        """Calldata.

        Raises:
            ChainError: an argument does not fit its type, for example a number out of range.
        """
        try:
            return self.selector + CODEC.encode(self.input_types, arguments)
        except (EncodingError, ValueError, TypeError) as error:
            raise ChainError(f"an argument of {self.contract}.{self.name} does not fit: {error}") from error

    def decode(self, data: bytes) -> tuple[Any, ...]:
        """Values of an answer.

        Raises:
            ChainError: it is not of the function's output types.
        """
        return self.outputs.decode(data, f"the answer of {self.contract}.{self.name}")


@cache
def functions(contract: str) -> dict[str, Function]:
    """A contract's functions by name (none is overloaded)."""
    found = {}
    for entry in load_artifact(contract).abi:
        if entry["type"] == "function":
            selector = keccak(text=_signature(entry))[:4]
            found[entry["name"]] = Function(
                contract, entry["name"], selector, type_strings(entry["inputs"]), Values(entry["outputs"])
            )
    return found


def function(contract: str, name: str) -> Function:
    """One function of a contract.

    Raises:
        ConfigError: the artifact has no such function.
    """
    try:
        return functions(contract)[name]
    except KeyError:
        raise ConfigError(f"artifact of contract {contract} has no function {name}; run `make contracts`") from None


def constructor_data(contract: str, *arguments: object) -> bytes:
    """Creation code with constructor arguments.

    Raises:
        ChainError: an argument does not fit its type.
    """
    artifact = load_artifact(contract)
    inputs: list[Component] = next((entry["inputs"] for entry in artifact.abi if entry["type"] == "constructor"), [])
    try:
        return artifact.bytecode + CODEC.encode(type_strings(inputs), arguments)
    except (EncodingError, ValueError, TypeError) as error:
        raise ChainError(f"an argument of {contract}'s constructor does not fit: {error}") from error


@cache
def _errors() -> dict[bytes, tuple[str, list[Component]]]:
    found: dict[bytes, tuple[str, list[Component]]] = {}
    for contract in CONTRACT_NAMES:
        for entry in load_artifact(contract).abi:
            if entry["type"] == "error":
                found[keccak(text=_signature(entry))[:4]] = (entry["name"], entry["inputs"])
    text = [{"name": "message", "type": "string"}]
    found[keccak(text="Error(string)")[:4]] = ("Error", text)
    found[keccak(text="Panic(uint256)")[:4]] = ("Panic", [{"name": "code", "type": "uint256"}])
    return found


def describe_revert(data: bytes) -> str:
    """Revert data in words: `Name(argument=value, …)` for the contracts' typed errors.

    Args:
        data: what the call returned when it reverted; may be empty or anything.
    """
    if not data:
        return "no reason given"
    known = _errors().get(data[:4])
    if known is None:
        return f"unknown error 0x{data[:68].hex()}"
    name, inputs = known
    try:
        values = Values(inputs).decode(data[4:], name)
    except ChainError:
        return f"{name}(undecodable arguments 0x{data[4:68].hex()})"
    shown = (f"{part['name']}={_shown(value)}" for part, value in zip(inputs, values, strict=True))
    return f"{name}({', '.join(shown)})"


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return repr(value) if isinstance(value, str) and not value.startswith("0x") else str(value)


def _signature(entry: dict[str, Any]) -> str:
    return f"{entry['name']}({','.join(type_strings(entry['inputs']))})"
