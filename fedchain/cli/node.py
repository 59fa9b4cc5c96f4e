"""`fedchain node`: one party's node."""

from __future__ import annotations

import gc
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli import nodelife, rotate, token
from fedchain.cli.guard import SETTINGS
from fedchain.cli.logs import configure_logging
from fedchain.cli.options import DEFAULT_DEPLOYMENT, DEFAULT_RPC, AsJson, DeploymentFile, NodeDirectory, Rpc
from fedchain.cli.output import note, print_json

if TYPE_CHECKING:
    from fedchain.node.runtime import Node

app = typer.Typer(name="node", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Set up and run one party's node.

    Example: fedchain node run nodes/operator
    """


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to create.", show_default=False)],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="To register under: a-z, 0-9, _ and -.", show_default=False)
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data", metavar="FILE", help="This party's table, CSV or Parquet; it stays here.", show_default=False
        ),
    ],
    rpc: Rpc = DEFAULT_RPC,
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="IP:PORT", help="For its peers; default: a free port of 127.0.0.1."),
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", metavar="HOST:PORT", help="What peers dial; default: where it listens.")
    ] = None,
    metrics: Annotated[
        str | None, typer.Option("--metrics", metavar="IP:PORT", help="Serve metrics there; default: nowhere.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a node's folder: a key in an encrypted keystore, its passphrase, a certificate, a commented node.toml.

    Example: fedchain node init nodes/operator --name operator --data operator.csv --deployment deployment.json
    """
    import json

    from fedchain.exchange import Identity
    from fedchain.exchange.endpoint import parse_endpoint
    from fedchain.node.init import init_node

    where = {"listen": listen, "endpoint": endpoint, "metrics": metrics}
    parsed = {name: parse_endpoint(text) for name, text in where.items() if text is not None}
    config = init_node(folder, name, deployment, rpc, data, **parsed)
    address = "0x" + str(json.loads(config.keys.keystore.read_text())["address"]).removeprefix("0x")
    identity = Identity.load(config.keys.certificate, config.keys.certificate_key)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "config": str(folder / "node.toml"),
                "name": config.name,
                "address": address,
                "fingerprint": "0x" + identity.fingerprint.hex(),
            }
        )
    else:
        print(
            f"node '{config.name}' with address {address} in {folder}; look at node.toml, then run "
            f"`fedchain node run {folder}`"
        )


@app.command()
def run(
    folder: NodeDirectory = Path("."),
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Another node.toml than DIR's.")
    ] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Fail, instead of waiting, when no steward has accredited this party.")
    ] = False,
    until_stdin_closes: Annotated[
        bool, typer.Option("--until-stdin-closes", help="Stop when standard input ends, with whoever started it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run a node until it is stopped: registers, waits for accreditation, takes part in jobs, answers requests.

    Example: fedchain node run nodes/operator
    """
    configure_logging(SETTINGS.log_level or ("debug" if SETTINGS.debug else "info"), as_json=SETTINGS.log_json)

    from fedchain.node.config import load_config
    from fedchain.node.running import run_node

    settings = load_config(config or folder / "node.toml")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def ready(node: Node) -> None:
        gc.collect()
        gc.freeze()  # modules and ABIs stay: a collection that looks through them stops a job for 60 ms
        if as_json:
            print_json(
                {
                    "name": node.name,
                    "address": node.address,
                    "endpoint": node.exchange.endpoint,
                    "control_socket": str(settings.control_socket),
                    "api": None if node.api is None else node.api.url,
                }
            )
        else:
            api = "" if node.api is None else f", its API is at {node.api.url}"
            note(f"node '{node.name}' ({node.address}) is ready{api}; Ctrl-C stops it")

    run_node(
        settings,
        stop,
        wait_for_accreditation=not no_wait,
        until_stdin_closes=until_stdin_closes,
        on_ready=ready,
    )


for command in (nodelife.status, nodelife.register, nodelife.doctor, nodelife.backup, nodelife.restore):
    app.command()(command)
app.add_typer(rotate.app)
app.add_typer(token.app)
