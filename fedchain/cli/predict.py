"""`fedchain predict`: scores from a finished job."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fedchain.cli.options import AsJson, NodeFolder
from fedchain.cli.output import note, print_json
from fedchain.errors import ConfigError

if TYPE_CHECKING:
    from fedchain.node.control_client import Prediction

MAX_ROWS_FILE_BYTES = 1 << 28
_POSITION = re.compile(r"\s*([0-9]{1,18})\s*\Z")


def predict(
    target: Annotated[
        str,
        typer.Argument(
            metavar="JOB|MODEL", help="Job id, or a model's name for its version in use.", show_default=False
        ),
    ],
    node: NodeFolder = Path("."),
    rows: Annotated[
        str | None,
        typer.Option(
            "--rows",
            metavar="holdout|0,5,9|@FILE",
            help="Held-out rows (at the active party), aligned positions, or a file with one position per line.",
            show_default="holdout, unless there is an --id",
        ),
    ] = None,
    ids: Annotated[
        list[str] | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="A customer, by the id in this party's table; may be repeated. Parts of an id: 'first,second'.",
            show_default=False,
        ),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="With --id: what each party adds to each score's margin.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the scores as CSV; default: to stdout.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="With --id: over the chain, each request judged and closed there.")
    ] = False,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="IDS", help="Score all ids of a CSV or Parquet file into --out.")
    ] = None,
    id_column: Annotated[
        list[str] | None,
        typer.Option("--id-column", metavar="COLUMN", help="With --file: column of the id, or of each of its parts."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask all parties of a completed job for scores, through the running node in DIR.

    Rows are positions in the job's aligned order; its roster learns which are asked for, only this node the scores.
    By --id only the parties that hold the customer learn that it is asked for, straight from this node, within
    milliseconds; each id counts against the job's quota, and what was answered leaves receipts (`fedchain receipt`).
    A model's name stands for the job of its version in use. A job of which another version is in use answers all
    the same, and a line on stderr says so: positions of one job mean other rows in another.

    A --file is asked for in chunks; when the command is ended early, the same command goes on where it was. With
    --strict each request is on the chain: judged, answered and closed there.

    Example: fedchain predict 0x5c…e1 --node nodes/operator --rows holdout --out scores.csv

    Example: fedchain predict arrears --node nodes/operator --rows 0,5,9

    Example: fedchain predict arrears --node nodes/operator --file customers.parquet --out scores.parquet

    Example: fedchain predict arrears --node nodes/operator --id 0041791234567 --strict --json

    Example: fedchain predict arrears --node nodes/operator --id 0041791234567 --id 0041797654321 --explain
    """
    from fedchain.node.config import load_config
    from fedchain.node.control_client import ControlClient

    if file is not None:
        from fedchain.cli.predict_file import predict_file

        if ids or strict or explain or rows is not None:
            raise ConfigError("--file goes without --id, --rows, --strict and --explain")
        predict_file(target, node, file, id_column or (), out, as_json=as_json)
        return
    if id_column:
        raise ConfigError("--id-column says which column of --file holds the ids; give --file as well")
    if ids and rows is not None:
        raise ConfigError("--id and --rows ask in two ways; give one of them")
    if explain and not ids:
        raise ConfigError("--explain goes with --id")
    if strict and (explain or not ids):
        raise ConfigError("--strict goes with --id, and without --explain")
    positions = parse_rows("holdout" if rows is None else rows)
    if out is not None and not out.absolute().parent.is_dir():
        raise ConfigError(f"--out {out}: folder {out.parent} does not exist; create it first")
    socket = load_config(node / "node.toml").control_socket
    asked_for = target.lower() if target.startswith("0x") else target
    if ids and strict:
        from fedchain.cli.predict_strict import predict_strict

        predict_strict(socket, asked_for, ids, out=out, as_json=as_json)
        return
    if ids:
        from fedchain.cli.predict_ids import predict_ids

        predict_ids(socket, asked_for, ids, explain=explain, out=out, as_json=as_json)
        return
    with ControlClient(socket) as client:
        prediction = client.predict(asked_for, positions)
    if prediction.model is not None and prediction.model.note is not None:
        note(prediction.model.note)
    if out is not None:
        write_text(out, to_csv(prediction))
        note(f"wrote {len(prediction.scores)} scores to {out}")
    if as_json:
        report: dict[str, object] = {
            "job_id": prediction.job_id,
            "model": None if prediction.model is None else prediction.model.as_dict(),
            "request_id": prediction.request_id,
            "rows": len(prediction.scores),
        }
        if out is not None:
            report["out"] = str(out)
        else:
            report["positions"] = [int(one) for one in prediction.positions]
            report["scores"] = prediction.scores.tolist()
        print_json(report)
    elif out is None:
        print(to_csv(prediction), end="")


def parse_rows(text: str) -> list[int] | Literal["holdout"]:
    """What `--rows` asks for.

    Raises:
        ConfigError: neither `holdout` nor positions, or a file that cannot be read.
    """
    if text == "holdout":
        return "holdout"
    where = "--rows"
    if text.startswith("@"):
        path = Path(text[1:])
        where = f"--rows {text}"
        try:
            with path.open("rb") as file:
                raw = file.read(MAX_ROWS_FILE_BYTES + 1)
            if len(raw) > MAX_ROWS_FILE_BYTES:
                raise ConfigError(f"{where}: larger than {MAX_ROWS_FILE_BYTES} bytes; ask in several requests")
            text = ",".join(raw.decode("utf-8").split())
        except OSError as error:
            raise ConfigError(f"{where}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{where}: not a text file with one position per line") from error
    parts = [part for part in text.split(",") if part.strip()]
    if not parts:
        raise ConfigError(f"{where}: no position; give holdout, positions such as 0,5,9, or @FILE")
    positions = []
    for part in parts:
        match = _POSITION.match(part)
        if match is None:
            raise ConfigError(f"{where}: '{part.strip()[:40]}' is no position; they are whole numbers from 0")
        positions.append(int(match[1]))
    return positions


def to_csv(prediction: Prediction) -> str:
    """`position,score` lines with a header, one score column for each of several classes; in shortest exact form."""
    several = prediction.scores.ndim > 1
    table = prediction.scores if several else prediction.scores[:, None]
    names = [f"score_{number}" for number in range(table.shape[1])] if several else ["score"]
    lines = [",".join(["position", *names])]
    lines += [
        f"{int(position)},{','.join(repr(float(score)) for score in scores)}"
        for position, scores in zip(prediction.positions, table, strict=True)
    ]
    return "\n".join(lines) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a file of `--out`, whole or not at all.

    Raises:
        ConfigError: it cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        os.replace(temporary, path)
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written: {error.strerror}") from error
