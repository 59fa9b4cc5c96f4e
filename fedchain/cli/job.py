"""`fedchain job`: propose jobs and look at them."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli.acting import Acting, sends
from fedchain.cli.options import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    AsJson,
    DeploymentFile,
    JobIdArgument,
    NodeFolder,
    Rpc,
    Seconds,
    known_job,
    opened,
)
from fedchain.cli.output import note, print_json, print_pairs, print_rows, short
from fedchain.cli.waiting import clock, deadline_in_words
from fedchain.errors import ConfigError, DeadlineError, JobAbortedError, JobExpiredError
from fedchain.types import JobId, Phase

if TYPE_CHECKING:
    from fedchain.chain import Consortium, JobView
    from fedchain.data.idrules import IdPart

app = typer.Typer(name="job", no_args_is_help=True)

POLL_SECONDS = 0.25
SETTLEMENT_SECONDS = 10.0
"""How long `job watch` waits for the settlement of a completed job."""


@app.callback()
def group() -> None:
    """Propose jobs, and see how they stand.

    Example: fedchain job submit job.toml --node nodes/operator
    """


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Job file (job.toml).", show_default=False)],
    node: NodeFolder = Path("."),
    as_json: AsJson = False,
) -> None:
    """Propose a job through the running node in DIR, and print its id. Spec and roster become public on the chain.

    Example: fedchain job submit nodes/examples/telco/job.toml --node nodes/operator
    """
    from fedchain.federation.spec import JobSpec
    from fedchain.node.config import load_config
    from fedchain.node.control_client import ControlClient

    spec = JobSpec.from_toml(file)
    socket = load_config(node / "node.toml").control_socket
    with ControlClient(socket) as client:
        job_id = client.submit(file.read_bytes(), str(file))
    note(f"job '{spec.name}' is proposed to {', '.join(spec.names)}; it begins once all have accepted")
    if as_json:
        print_json({"job_id": job_id, "name": spec.name, "parties": list(spec.names)})
    else:
        print(job_id)


@app.command()
def abort(
    job: JobIdArgument,
    node: NodeFolder = Path("."),
    reason: Annotated[str, typer.Option(help="For all to read on the chain.")] = "aborted by hand",
    as_json: AsJson = False,
) -> None:
    """End a job for all its parties, through the running node in DIR. Stopping a node only pauses its jobs.

    Example: fedchain job abort 0x5f0c… --node nodes/operator --reason "wrong table"
    """
    from fedchain.node.config import load_config
    from fedchain.node.control_client import ControlClient

    with ControlClient(load_config(node / "node.toml").control_socket) as client:
        client.abort(JobId(job), reason)
    note(f"job {short(job)} is aborted")
    if as_json:
        print_json({"job_id": job, "reason": reason})


@app.command()
@sends
def close(
    job: JobIdArgument,
    *,
    by: Acting,
    as_json: AsJson = False,
) -> None:
    """Close what is overdue in a job, with any account: who is missing is named on the chain, a fault on the record.

    Running nodes do it by themselves. Once a job is overdue by as much time again, or by its policy as soon as a party
    of it is suspended, this ends it.

    Example: fedchain job close 0x5c…e1 --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    from fedchain.chain.overdue import Step, step_due, take_step

    with by.opened() as consortium:
        view = known_job(consortium, job)
        step = step_due(consortium, view)
        if step is Step.NOTHING:
            raise ConfigError(f"job {view.job_id}: nothing is due; {_due(view)}")
        take_step(consortium, view, step)
        after = consortium.job(view.job_id)
    done = "ended: it has expired" if step is Step.EXPIRE else "closed: who is missing has been named"
    if as_json:
        print_json({"job_id": view.job_id, "done": step.value, "phase": after.phase.name.lower()})
    else:
        print(f"{_place(view)} of job {short(view.job_id)} is {done}")


def _place(view: JobView) -> str:
    if view.phase is Phase.TRAINING and view.round:
        return f"round {view.round}, attempt {view.attempt}"
    return f"phase {view.phase.name.lower()}"


def _due(view: JobView) -> str:
    """When something is due in a job, in words."""
    if not view.deadline:
        return f"it is {view.phase.name.lower()}"
    expires = f"it may be ended after {clock(view.expires_after)}"
    if view.closed:
        return f"{_place(view)} is closed already, {expires}"
    return f"{_place(view)} has until {clock(view.deadline)}, {expires}"


@app.command()
def status(
    job: JobIdArgument,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Show how a job stands, from the chain alone.

    Example: fedchain job status 0x5c…e1 --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    from fedchain.node.jobstate import read_state

    with opened(rpc, deployment) as consortium:
        state = read_state(consortium, known_job(consortium, job))
    if as_json:
        print_json(state.as_dict())
        return
    view = state.view
    pairs: list[tuple[str, object]] = [
        ("phase", view.phase.name.lower()),
        ("trees", f"{state.trees_done} of {view.policy.max_rounds}"),
        ("aligned rows", view.aligned_rows or "-"),
        ("uplinks", f"{state.accepted} accepted, {state.rejected} rejected"),
        ("block", state.head),
    ]
    if view.phase is Phase.TRAINING:
        pairs.append(("round", f"{view.round}, attempt {view.attempt}"))
    if view.deadline:
        pairs.append(("deadline", deadline_in_words(view, state.chain_time)))
    if state.model_digest:
        pairs.append(("model digest", state.model_digest))
    if state.abort_reason:
        pairs.append(("aborted", state.abort_reason))
    print_pairs(f"job {view.job_id}", pairs)
    yes = {True: "yes", False: "-"}
    print_rows(
        "",
        ("party", "role", "standing", "accepted", "aligned", "stopped", "waits", "shard"),
        [
            (
                party.name,
                party.role,
                party.standing,
                yes[party.accepted],
                yes[party.aligned],
                yes[party.stopped],
                yes[party.attended],
                short(party.shard_digest),
            )
            for party in state.parties
        ],
    )


@app.command()
def show(
    job: JobIdArgument,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Show what a job asks for: its spec, how ids are spelled, and the digest of those rules that each party declared.

    Example: fedchain job show 0x5c…e1 --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    from fedchain.node.jobspec import read_spec

    with opened(rpc, deployment) as consortium:
        found = read_spec(consortium, known_job(consortium, job).job_id)
    if as_json:
        print_json(found.as_dict())
        return
    spec = found.spec
    print_pairs(
        f"job {found.job_id}",
        [
            ("name", spec.name),
            ("spec digest", found.spec_digest),
            ("algorithm", f"{spec.algorithm.name}, {spec.algorithm.mode.value}, at most {spec.max_rounds} rounds"),
            ("objective", spec.algorithm.objective),
            ("least common rows", spec.alignment.min_rows),
            ("repeated ids", spec.alignment.duplicates),
            ("cached set", "none" if spec.alignment.cached is None else f"of {spec.alignment.cached}"),
            ("id rules digest", found.id_rules_digest),
        ],
    )
    print_rows(
        "id",
        ("part", "rules", "phone numbers"),
        [(part.name, ", ".join(part.rules), _phone(part)) for part in spec.alignment.rules.parts],
    )
    print_rows(
        "",
        ("party", "role", "id columns in the job", "declared id rules"),
        [
            (name, spec.party(name).role.value, ", ".join(spec.id_columns(name)), short(found.declared.get(name)))
            for name in spec.names
        ],
    )


def _phone(part: IdPart) -> str:
    if "phone" not in part.rules:
        return "-"
    phone = part.phone
    lengths = f", {' or '.join(map(str, phone.national_digits))} digits" if phone.national_digits else ""
    return f"country code {phone.country_code or '-'}, trunk prefix {phone.trunk_prefix or '-'}{lengths}"


@app.command()
def watch(
    job: JobIdArgument,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    node: Annotated[
        Path | None,
        typer.Option("--node", metavar="DIR", help="Folder of a running node: show what it waits for, and whom."),
    ] = None,
    timeout: Seconds = None,
    as_json: AsJson = False,
) -> None:
    """Follow a job until it ends, and show who is being waited for; the exit code is 0 only if it was completed.

    The chain alone shows which declarations and rounds are due; a node knows each message. With --json, changes are
    JSON lines on stderr, and the job's end state is the one object on stdout.

    Example: fedchain job watch 0x5c…e1 --deployment deployment.json --node nodes/operator
    """
    from fedchain.cli.waiting import ChainWaits, NodeWaits, in_words
    from fedchain.cli.watching import JobBars
    from fedchain.node.jobstate import read_state

    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        consortium = stack.enter_context(opened(rpc, deployment))
        view = known_job(consortium, job)
        of_node = None if node is None else stack.enter_context(NodeWaits(node, view.job_id))
        on_chain = ChainWaits(consortium)
        bars = stack.enter_context(JobBars(view, as_json=as_json))
        while True:
            accepted, rejected = consortium.counts(view.job_id)
            seen = on_chain.lines(view, accepted)
            waits = (of_node.lines() if of_node is not None else []) or seen
            bars.show(view, consortium.client.head(), accepted, rejected, waits)
            if view.phase.is_over:
                break
            if timeout is not None and time.monotonic() - begun > timeout:
                raise DeadlineError(
                    f"job {view.job_id} is still {view.phase.name.lower()} after {timeout:g} s, "
                    + "; ".join(in_words(one) for one in waits)
                )
            time.sleep(POLL_SECONDS)
            view = consortium.job(view.job_id)
        state = read_state(consortium, view)
        is_settled = _await_settlement(consortium, view)
    if as_json:
        print_json(state.as_dict())
    if state.abort_reason is not None:
        if view.phase is Phase.EXPIRED:
            raise JobExpiredError(f"job {view.job_id} {state.abort_reason}")
        raise JobAbortedError(f"job {view.job_id} was aborted: {state.abort_reason}")
    if not as_json:
        print(f"completed: {state.trees_done} trees, model digest {state.model_digest}")
    if not is_settled:
        note(
            "its contributions are not settled yet; the active party's node tries again by itself. See `fedchain "
            "settlement show`, and for what is wrong that node's doctor"
        )


def _await_settlement(consortium: Consortium, view: JobView) -> bool:
    """Give the active party's node a moment; whether nothing is left to settle."""
    from fedchain.node.settlements import read_settlement

    until = time.monotonic() + SETTLEMENT_SECONDS
    while view.phase is Phase.COMPLETED:
        found = read_settlement(consortium, view.job_id, str)
        if found is None or found.state != "not settled":
            break
        if time.monotonic() > until:
            return False
        time.sleep(POLL_SECONDS)
    return True
