"""`fedchain job`: propose jobs and look at them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

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
from fedchain.errors import DeadlineError, JobAbortedError
from fedchain.types import Phase

app = typer.Typer(name="job", no_args_is_help=True)

POLL_SECONDS = 0.25


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
def status(
    job: JobIdArgument,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Show how a job stands, from the chain alone.

    Example: fedchain job status 0x5c…e1 --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    from fedchain.cli.jobstate import read_state

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
    if state.model_digest:
        pairs.append(("model digest", state.model_digest))
    if state.abort_reason:
        pairs.append(("aborted", state.abort_reason))
    print_pairs(f"job {view.job_id}", pairs)
    yes = {True: "yes", False: "-"}
    print_rows(
        "",
        ("party", "role", "standing", "accepted", "aligned", "stopped", "shard"),
        [
            (
                party.name,
                party.role,
                party.standing,
                yes[party.accepted],
                yes[party.aligned],
                yes[party.stopped],
                short(party.shard_digest),
            )
            for party in state.parties
        ],
    )


@app.command()
def watch(
    job: JobIdArgument,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    timeout: Seconds = None,
    as_json: AsJson = False,
) -> None:
    """Follow a job on the chain until it ends; the exit code is 0 only if it was completed.

    Example: fedchain job watch 0x5c…e1 --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    from fedchain.cli.jobstate import read_state
    from fedchain.cli.watching import JobBars

    begun = time.monotonic()
    with opened(rpc, deployment) as consortium:
        view = known_job(consortium, job)
        with JobBars(view) as bars:
            while True:
                accepted, rejected = consortium.counts(view.job_id)
                bars.show(view, consortium.client.head(), accepted, rejected)
                if view.phase in (Phase.COMPLETED, Phase.ABORTED):
                    break
                if timeout is not None and time.monotonic() - begun > timeout:
                    raise DeadlineError(
                        f"job {view.job_id} is still {view.phase.name.lower()} after {timeout:g} s; "
                        "`fedchain job status` shows which party is waited for"
                    )
                time.sleep(POLL_SECONDS)
                view = consortium.job(view.job_id)
        state = read_state(consortium, view)
    if as_json:
        print_json(state.as_dict())
    if state.abort_reason is not None:
        raise JobAbortedError(f"job {view.job_id} was aborted: {state.abort_reason}")
    if not as_json:
        print(f"completed: {state.trees_done} trees, model digest {state.model_digest}")
