"""The compiled contracts that ship with the package: a node needs no compiler."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from fedchain.errors import ConfigError

STEWARDS = "Stewards"
REGISTRY = "ParticipantRegistry"
DIRECTORY = "Directory"
ANOMALY_POLICY = "AnomalyPolicy"
ANOMALIES = "AnomalyRecord"
JOBS = "JobManager"
LEDGER = "UplinkLedger"
ROUTER = "InferenceRouter"
CONTRIBUTIONS = "ContributionLedger"
PROOFS = "FaultProofs"
AUDITS = "ContributionAudit"
SETTLEMENTS = "Settlement"
MODELS = "ModelRegistry"

CONTRACT_NAMES = (
    STEWARDS, REGISTRY, DIRECTORY, ANOMALY_POLICY, ANOMALIES, JOBS, LEDGER, ROUTER, CONTRIBUTIONS, PROOFS, MODELS,
    AUDITS, SETTLEMENTS,
)  # fmt: skip
"""In the order of deployment."""

LATER = (AUDITS, SETTLEMENTS)
"""Those that consortia of earlier versions do not have, so that their deployment files name none."""

LASTING = (STEWARDS, REGISTRY, DIRECTORY)
"""Those that a new version of the others keeps: members, their standing and the history of versions live on."""

VERSIONED = tuple(name for name in CONTRACT_NAMES if name not in LASTING)
"""Those that a new version replaces, in the order of deployment."""


@dataclass(frozen=True)
class Artifact:
    """One compiled contract.

    Attributes:
        name: the contract's name.
        abi: entries of the JSON ABI.
        bytecode: creation code, without constructor arguments.
    """

    name: str
    abi: list[dict[str, Any]] = field(repr=False)
    bytecode: bytes = field(repr=False)


@cache
def load_artifact(name: str) -> Artifact:
    """Read a contract's artifact from the package.

    Raises:
        ConfigError: it is missing or damaged.
    """
    remedy = "run `make contracts`, or install the package anew"
    try:
        text = resources.files("fedchain.chain").joinpath("artifacts").joinpath(f"{name}.json").read_text("utf-8")
        document = json.loads(text)
        if document["contractName"] != name:
            raise ValueError("it is another contract's")
        return Artifact(name, list(document["abi"]), bytes.fromhex(document["bytecode"].removeprefix("0x")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"artifact of contract {name} cannot be read ({error}); {remedy}") from error
