"""`fedchain report`: a job as one page that anybody can open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedchain.cli.options import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    AsJson,
    DeploymentFile,
    JobIdArgument,
    Rpc,
    known_job,
    opened,
)
from fedchain.cli.output import note, print_json, size_text
from fedchain.errors import ConfigError


def report(
    job: JobIdArgument,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write the page there; a file that is there is replaced."),
    ] = None,
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    as_json: AsJson = False,
) -> None:
    """Write a job's report: contributions over rounds, their audit and settlement, anomalies, durations, with pictures.

    One file that needs nothing else: it can be mailed, printed, read on a telephone, and opened without a network.
    All of it is read from the chain, so that everybody gets the same report at the same block. --json gives the same
    as numbers, beside the page or without it.

    Example: fedchain report 0x5c…e1 --html report.html --deployment deployment.json --rpc http://127.0.0.1:8545
    """
    if html is None and not as_json:
        raise ConfigError("nothing to write: give --html FILE for the page, or --json for its numbers")
    if html is not None:
        from fedchain.node.reporting.page import MISSING, can_draw

        if not can_draw():
            raise ConfigError(MISSING)
        if html.is_dir() or not html.absolute().parent.is_dir():
            raise ConfigError(f"--html {html}: name a file in a folder that exists")
    from fedchain.node.reporting.reading import read_report

    with opened(rpc, deployment) as consortium:
        found = read_report(consortium, known_job(consortium, job))
    if html is not None:
        from fedchain.node.reporting.page import render

        page = render(found).encode()
        write_page(html, page)
        note(f"{html}: report of job {found.job_id} at block {found.block}, {size_text(len(page))}")
    if as_json:
        print_json(found.as_dict())


def write_page(path: Path, page: bytes) -> None:
    """Write a file that is whole or as it was before.

    Raises:
        ConfigError: it cannot be written.
    """
    import os
    import tempfile

    part = None
    try:
        descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(page)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(part, 0o666 & ~umask)  # the chain is public to whoever may read the file
        os.replace(part, path)
    except OSError as error:
        if part is not None and os.path.exists(part):
            os.unlink(part)
        raise ConfigError(f"--html {path}: cannot be written ({error.strerror})") from error
