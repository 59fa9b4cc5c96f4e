"""`fedchain receipt`: what a node can show for its requests by id."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedchain.cli.options import AsJson, JobIdArgument, known_job, opened
from fedchain.cli.output import print_json, print_rows, short
from fedchain.errors import ConfigError

if TYPE_CHECKING:
    from fedchain.node.online.checking import ReceiptBook

app = typer.Typer(name="receipt", no_args_is_help=True)

OfNode = Annotated[
    Path, typer.Option("--node", metavar="DIR", envvar="FEDCHAIN_NODE", help="The asking node's folder; it may run.")
]


@app.callback()
def group() -> None:
    """See and check the receipts of requests by id: which party answered, when, for how many rows; no id is in them.

    The node keeps them below its state folder, and anchors a Merkle root of the new ones in each block.

    Example: fedchain receipt verify 0x5c…e1 --node nodes/operator
    """


@app.command("list")
def list_(
    job: JobIdArgument,
    node: OfNode = Path("."),
    last: Annotated[int, typer.Option("--last", min=1, metavar="N", help="How many receipts, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List a job's newest receipts and the anchors that they are under.

    Example: fedchain receipt list 0x5c…e1 --node nodes/operator --last 50
    """
    with _book(job, node) as book:
        standings = book.standings(range(max(0, len(book) - last), len(book)))
        if as_json:
            print_json({"receipts": len(book), "newest": [one.as_dict() for one in standings]})
            return
        mined = sum(one.block is not None for one in book.anchors)
        print_rows(
            f"{len(book)} receipts of job {job}, {mined} anchors",
            ("receipt", "answerer", "serials", "time", "anchor"),
            [
                (
                    str(one.number),
                    one.answerer,
                    f"{one.receipt.first_serial}-{one.receipt.first_serial + one.receipt.rows - 1}",
                    datetime.fromtimestamp(one.receipt.time_ms / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S"),
                    "" if one.anchor is None or one.anchor.block is None else str(one.anchor.index),
                )
                for one in standings
            ],
        )


@app.command()
def show(
    job: JobIdArgument,
    number: Annotated[int, typer.Argument(min=0, metavar="N", help="Number of the receipt, from 0.")],
    node: OfNode = Path("."),
    as_json: AsJson = False,
) -> None:
    """Show one receipt: what its answerer signed, and under which anchor it is.

    Example: fedchain receipt show 0x5c…e1 17 --node nodes/operator --json
    """
    with _book(job, node) as book:
        if number >= len(book):
            raise ConfigError(f"there are {len(book)} receipts, numbered from 0")
        shown = book.standings([number])[0].as_dict()
    if as_json:
        print_json(shown)
        return
    print_rows(f"receipt {number} of job {job}", ("", ""), [(key, short(str(one))) for key, one in shown.items()])


@app.command()
def verify(job: JobIdArgument, node: OfNode = Path("."), as_json: AsJson = False) -> None:
    """Check every receipt's signature, that each is under its anchor's root, and that the anchors are on the chain.

    Example: fedchain receipt verify 0x5c…e1 --node nodes/operator
    """
    with _book(job, node) as book:
        checked = book.verify()
    if as_json:
        print_json(checked.as_dict())
        return
    print(
        f"{checked.receipts} receipts are their answerers'; {checked.anchored} of them are under {checked.anchors} "
        f"anchors on the chain, of {checked.rows} rows"
    )


@contextmanager
def _book(job: str, node: Path) -> Iterator[ReceiptBook]:
    from fedchain.node.config import load_config
    from fedchain.node.online.checking import ReceiptBook
    from fedchain.node.online.receipts import ReceiptFiles

    config = load_config(node / "node.toml")
    with opened(config.chain.rpc, config.chain.deployment) as consortium:
        job_id = known_job(consortium, job).job_id
        address = consortium.address_of(config.name)
        if address is None:
            raise ConfigError(f"{node}: '{config.name}' is no participant of this consortium")
        yield ReceiptBook(consortium, ReceiptFiles(config.state.folder, job_id), job_id, address)
