"""Moves a consortium to a new version of its contracts; the record of the old one stays where it is.

Members, their standing, stewards and the directory live on in their contracts (`LASTING`); the others are deployed
anew. Then stewards vote, k of n: the registry admits the new anomaly record beside the old, and the directory names the
new addresses after its delay. Jobs end in the version in which they were proposed: its contracts never change.

Each steward runs the same command: the first deploys, and writes the candidate beside the deployment file; the others,
who get that file from it, compare it with their own package before they vote. Whoever runs it once the delay is over
puts the change into force. Every step looks at the chain first, so that a run that was killed is gone on with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedchain.chain.account import Account
from fedchain.chain.artifacts import ANOMALIES, DIRECTORY, LASTING, REGISTRY, VERSIONED
from fedchain.chain.client import ChainClient
from fedchain.chain.contracts import Consortium
from fedchain.chain.deploying import Progress, Steps, quiet
from fedchain.chain.deploylog import DeployLog, progress_path
from fedchain.chain.deployment import Deployment
from fedchain.chain.sender import Sender
from fedchain.chain.verifying import check_contracts, require_sound
from fedchain.errors import ConfigError, TransactionError

UPGRADE_STEPS = len(VERSIONED) + 3
"""Transactions that put a candidate on the chain, before any vote."""


@dataclass(frozen=True)
class Upgrade:
    """How far a consortium's move to another version is.

    Attributes:
        candidate: the version that it moves to, or is at.
        changed: whether this call did anything.
        gate_admitted: whether the registry takes strikes of the candidate's anomaly record.
        gate_votes: votes for that so far; the threshold once carried.
        change_votes: votes for the directory's change; the threshold once carried.
        threshold: how many carry each.
        not_before: when the change may come into force, seconds of the chain's clock; 0 while votes are missing.
        in_force: whether it is.
        earlier: file of the version before, once the candidate is in force.
    """

    candidate: Deployment
    changed: bool
    gate_admitted: bool
    gate_votes: int
    change_votes: int
    threshold: int
    not_before: int
    in_force: bool
    earlier: Path | None


def candidate_path(out: Path) -> Path:
    """The file beside a deployment file that records the version it is to be replaced by."""
    return out.with_name(f"{out.stem}.next{out.suffix}")


def version_path(out: Path, version: int) -> Path:
    """The file beside a deployment file that keeps an earlier version."""
    return out.with_name(f"{out.stem}.v{version}{out.suffix}")


def upgrade(client: ChainClient, account: Account, out: Path, *, progress: Progress | None = None) -> Upgrade:
    """Do whatever can be done now to move a consortium to this package's contracts.

    Args:
        client: the chain.
        account: of a steward.
        out: deployment file of the version in force; once the change is, it holds the new one, and the old one is in
            `version_path`.
        progress: called with one line before each transaction.

    Raises:
        ConfigError: the account is no steward's; the file is not of the version in force; the candidate is of another;
            another change is pending.
        WrongChainError, ContractMissingError: see `Deployment.check`; or a candidate is not what this package deploys.
        ChainError: a transaction failed.
    """
    recorded = Deployment.load(out)
    sender = Sender(client, account)
    consortium = Consortium(client, recorded, sender)
    note = progress or quiet
    if not consortium.stewards.is_steward(account.address):
        raise ConfigError(
            f"account {account.address} is no steward of this consortium; "
            f"its stewards are {', '.join(consortium.stewards.members())}"
        )
    candidate, made = _candidate(consortium, account, recorded, out, note)
    if candidate is None:
        candidate_path(out).unlink(missing_ok=True)  # of a run that was killed after its last step
        threshold = consortium.stewards.threshold()
        kept = version_path(out, recorded.version - 1)
        earlier = kept if kept.exists() else None
        return Upgrade(recorded, False, True, threshold, threshold, threshold, 0, True, earlier)
    return _move(consortium, account.address, recorded, candidate, out, note, made)


def _candidate(
    consortium: Consortium, account: Account, recorded: Deployment, out: Path, note: Progress
) -> tuple[Deployment | None, bool]:
    """The version to move to, and whether it was put on the chain just now; None where there is none to move to."""
    path, current = candidate_path(out), consortium.versions.current()
    if path.exists():
        candidate = Deployment.load(path)
        if candidate.version == recorded.version and candidate.contracts == recorded.contracts:
            return None, False
        _check_candidate(consortium.client, recorded, candidate, path)
        return candidate, False
    if current != recorded.version:
        raise ConfigError(
            f"deployment {out} is version {recorded.version} of this consortium, and version {current} is in force; "
            f"get the file of that version, or its candidate as {path.name}, of a steward who has it"
        )
    if not progress_path(path).exists() and is_current(consortium.client, recorded):
        return None, False
    return _deploy(consortium.client, account, recorded, path, note), True


def is_current(client: ChainClient, recorded: Deployment) -> bool:
    """Whether the versioned contracts of a deployment are those that this package deploys."""
    if set(VERSIONED) - set(recorded.contracts):
        return False
    checks = check_contracts(client, recorded)
    return all(one.found == one.expected for one in checks if one.name in VERSIONED)


def _check_candidate(client: ChainClient, recorded: Deployment, candidate: Deployment, path: Path) -> None:
    """Raise unless a steward's vote for the candidate is one for this package's contracts in this consortium."""
    differ = [name for name in LASTING if candidate.contracts[name].address != recorded.contracts[name].address]
    if differ or candidate.version != recorded.version + 1:
        what = f"its {differ[0]} is another" if differ else f"it is version {candidate.version}"
        raise ConfigError(
            f"candidate {path}: does not follow on version {recorded.version} of this consortium ({what}); "
            "get another file, or move it away"
        )
    require_sound(check_contracts(client, candidate))


def _deploy(client: ChainClient, account: Account, recorded: Deployment, path: Path, note: Progress) -> Deployment:
    log_path, address = progress_path(path), account.address
    terms = recorded.stewards, recorded.threshold, recorded.delay_seconds
    with DeployLog(log_path, client, address, *terms) as log:
        if log.resumed:
            note(f"going on with an unfinished upgrade: {log.resumed} of {UPGRADE_STEPS} transactions are recorded")
        lasting = {name: recorded.addresses[name] for name in LASTING}
        steps = Steps(client, Sender(client, account, outbox=log), log, note, dict(lasting))
        steps.deploy(VERSIONED)
        steps.wire()
        kept = {
            name: recorded.contracts[name].model_copy(update={"deployer": recorded.deployer_of(name)})
            for name in LASTING
        }
        candidate = recorded.model_copy(
            update={
                "version": recorded.version + 1,
                "deployer": address,
                "contracts": {**kept, **steps.contracts},
                "transactions": steps.transactions,
            }
        )
        candidate.save(path)
        log.remove()
    return candidate


def _move(
    consortium: Consortium,
    steward: str,
    recorded: Deployment,
    candidate: Deployment,
    out: Path,
    note: Progress,
    changed: bool,
) -> Upgrade:
    """Vote where this steward has not, apply where the time has come, and take the files over where it is done."""
    stewards, versions = consortium.stewards, consortium.versions
    threshold = stewards.threshold()
    gate = candidate.addresses[ANOMALIES]
    motion = stewards.gate_motion(gate)
    if not stewards.is_gate(gate) and not stewards.has_voted(REGISTRY, motion, steward):
        note("voting that the registry admit the new anomaly record")
        stewards.admit_gate(gate)
        changed = True
    admitted = stewards.is_gate(gate)
    gate_votes = threshold if admitted else stewards.votes(REGISTRY, motion)

    changes = {name: candidate.addresses[name] for name in VERSIONED}
    in_force = versions.current() >= candidate.version
    change_votes, not_before = threshold, 0
    if not in_force:
        voted, change_votes = _vote_for(consortium, steward, changes, note)
        changed = changed or voted
        pending = versions.pending()
        if pending is not None:
            not_before = pending.not_before
            if admitted:
                in_force = _apply(consortium, note)
                changed = changed or in_force
    if in_force:
        for name, address in changes.items():
            if versions.address_of(name, candidate.version) != address:
                raise ConfigError(
                    f"version {candidate.version} of the directory has another {name} than the candidate "
                    f"{candidate_path(out)}; get the file of that version of a steward"
                )
        recorded.save(version_path(out, recorded.version))
        candidate.save(out)
        candidate_path(out).unlink(missing_ok=True)
    earlier = version_path(out, recorded.version) if in_force else None
    return Upgrade(
        candidate, changed or in_force, admitted, gate_votes, change_votes, threshold, not_before, in_force, earlier
    )


def _vote_for(consortium: Consortium, steward: str, changes: dict[str, str], note: Progress) -> tuple[bool, int]:
    """Whether this steward has voted for the change just now, and how many votes there are."""
    stewards, versions = consortium.stewards, consortium.versions
    pending = versions.pending()
    if pending is not None:
        if pending.addresses != changes:
            raise ConfigError(
                f"another change, to version {pending.version}, is pending in the directory; "
                "it must come into force or be cancelled first (`fedchain steward cancel`)"
            )
        return False, stewards.threshold()
    motion = versions.proposal_motion(changes)
    if stewards.has_voted(DIRECTORY, motion, steward):
        return False, stewards.votes(DIRECTORY, motion)
    note("voting that the directory name the new contracts")
    vote = versions.propose(changes)
    return True, vote.votes


def _apply(consortium: Consortium, note: Progress) -> bool:
    """Put the pending change into force; False while its time has not come."""
    try:
        consortium.versions.apply()
    except TransactionError as error:
        if error.reason.startswith("TooEarly"):
            return False
        raise
    note("the new version is in force")
    return True
