"""Proposes jobs."""

from __future__ import annotations

from fedchain.chain import Consortium
from fedchain.errors import ConfigError, NotAccreditedError, TransactionError
from fedchain.federation.spec import JobSpec
from fedchain.node.jobpolicy import policy_of
from fedchain.types import JobId


def propose(consortium: Consortium, spec: JobSpec, where: str) -> JobId:
    """Propose a job; spec, roster and policy become public on the chain.

    Args:
        consortium: with a party of the job as its sender.
        spec: the job's.
        where: names the job file in errors.

    Raises:
        ConfigError: the job names a party that is not registered.
        NotAccreditedError: a party of it is not accredited.
    """
    roster: dict[str, str] = {}
    for name in spec.names:
        address = consortium.address_of(name)
        if address is None:
            raise ConfigError(f"{where}: party '{name}' is not registered; start its node, or mend the name")
        roster[name] = address
    try:
        return consortium.propose(spec.to_bytes(), list(roster.values()), policy_of(spec))
    except TransactionError as error:
        if "NotAccredited" not in error.reason:
            raise
        who = [name for name, address in roster.items() if address.lower() in error.reason.lower()]
        raise NotAccreditedError(
            f"party '{who[0] if who else '?'}' is not accredited; ask a steward to accredit it ({error.reason})"
        ) from error
