"""Which contracts make up a consortium, on which chain: the content of `deployment.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fedchain.chain.artifacts import CONTRACT_NAMES, LATER
from fedchain.chain.client import ChainClient
from fedchain.chain.files import write_atomically
from fedchain.errors import ConfigError, ContractMissingError, WrongChainError

_MAX_FILE_BYTES = 1 << 20

Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
Hash = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]


class DeployedContract(BaseModel):
    """Where a contract stands.

    Attributes:
        address: its.
        code_hash: Keccak-256 of the code that was put there.
        deployer: who did, where that is not the deployment's deployer: an earlier version's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: Address
    code_hash: Hash
    deployer: Address | None = None


class Deployment(BaseModel):
    """One version of a consortium's contracts as recorded; nothing in it is secret.

    Attributes:
        version: of the consortium's directory in which these contracts are in force, from 1.
        chain_id: of the chain.
        genesis_hash: hash of block 0, so that a chain that was reset is noticed.
        deployer: address that deployed; it may do nothing more, once all is wired.
        stewards: addresses that voted on members and changes at the deployment; `Stewards` knows today's.
        threshold: how many of them carried a motion.
        delay_seconds: between a change of the directory and its effect.
        contracts: by name, all of `CONTRACT_NAMES`; of an earlier version of fedchain, all but those in `LATER`.
        transactions: what was done, in order, to transaction hash.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Annotated[int, Field(ge=1)] = 1
    chain_id: Annotated[int, Field(ge=0)]
    genesis_hash: Hash
    deployer: Address
    stewards: list[Address]
    threshold: Annotated[int, Field(ge=1, le=32)]
    delay_seconds: Annotated[int, Field(ge=0)]
    contracts: dict[str, DeployedContract]
    transactions: dict[str, Hash]

    @model_validator(mode="after")
    def _has_all_contracts(self) -> Deployment:
        if set(self.contracts) not in (set(CONTRACT_NAMES), set(CONTRACT_NAMES) - set(LATER)):
            raise ValueError(f"contracts must be exactly {', '.join(CONTRACT_NAMES)}")
        return self

    def deployer_of(self, name: str) -> str:
        """Who deployed a contract."""
        return self.contracts[name].deployer or self.deployer

    @property
    def addresses(self) -> dict[str, str]:
        """Contract name to address, in the order of deployment."""
        return {name: self.contracts[name].address for name in CONTRACT_NAMES if name in self.contracts}

    @classmethod
    def load(cls, path: Path) -> Deployment:
        """Read a deployment file.

        Raises:
            ConfigError: it is missing, or no deployment.
        """
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_FILE_BYTES + 1)
        except OSError as error:
            raise ConfigError(f"deployment {path}: {error.strerror}; make one with `fedchain deploy`") from error
        if len(raw) > _MAX_FILE_BYTES:
            raise ConfigError(f"deployment {path}: larger than {_MAX_FILE_BYTES} bytes, so no deployment file")
        try:
            return cls.model_validate_json(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "file"
            raise ConfigError(
                f"deployment {path}: {where}: {first['msg']}; make it anew with `fedchain deploy`"
            ) from error

    def save(self, path: Path) -> None:
        """Write the deployment file, whole or not at all.

        Raises:
            ConfigError: the folder cannot be written.
        """
        text = json.dumps(self.model_dump(), indent=2, sort_keys=False) + "\n"
        try:
            write_atomically(path, text.encode())
        except OSError as error:
            raise ConfigError(f"deployment {path}: cannot be written: {error.strerror}") from error

    def check_chain(self, client: ChainClient) -> None:
        """Check that the chain is the recorded one.

        Raises:
            WrongChainError: chain id or genesis block differ.
        """
        if client.chain_id != self.chain_id:
            raise WrongChainError(f"chain id at {client.rpc_url}", self.chain_id, client.chain_id)
        genesis = "0x" + client.genesis_hash().hex()
        if genesis != self.genesis_hash:
            raise WrongChainError(f"genesis block of the chain at {client.rpc_url}", self.genesis_hash, genesis)

    def check(self, client: ChainClient) -> None:
        """Check that the chain is the recorded one and holds the recorded code.

        Raises:
            WrongChainError: chain id or genesis block differ.
            ContractMissingError: no code, or other code, at a recorded address.
        """
        self.check_chain(client)
        for name, contract in self.contracts.items():
            found = client.code_hash(contract.address)
            if found is None:
                raise ContractMissingError(
                    f"contract {name}: no code at {contract.address} on the chain at {client.rpc_url}; "
                    "the chain was reset, or the deployment is another chain's: deploy anew to a new file"
                )
            if "0x" + found.hex() != contract.code_hash:
                raise ContractMissingError(
                    f"contract {name}: the code at {contract.address} on the chain at {client.rpc_url} is not the "
                    f"recorded one (hash 0x{found.hex()}, recorded {contract.code_hash}); get the deployment file "
                    "of the consortium's steward, or deploy anew to a new file"
                )
