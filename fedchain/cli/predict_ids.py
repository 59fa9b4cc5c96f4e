"""`fedchain predict --id`: asks through the running node, and shows what it answers."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedchain.cli.output import note, print_json
from fedchain.errors import ConfigError

if TYPE_CHECKING:
    from fedchain.node.online.predictions import Predictions


def predict_ids(
    socket: Path, target: str, ids: Sequence[str], *, explain: bool, out: Path | None, as_json: bool
) -> None:
    """Ask, and print or write the scores."""
    from fedchain.cli.predict import write_text
    from fedchain.node.control_client import ControlClient

    with ControlClient(socket) as client:
        found = client.predict_ids(target, [parse_id(one) for one in ids], explain=explain)
    if found.model is not None and found.model.note is not None:
        note(found.model.note)
    if out is not None:
        write_text(out, to_csv(found, ids))
        note(f"wrote {len(ids)} scores to {out}")
    if as_json:
        report = as_dict(found, ids)
        if out is not None:
            report = {key: report[key] for key in ("job_id", "model", "rows")} | {"out": str(out)}
        print_json(report)
    elif out is None:
        print(to_csv(found, ids), end="")


def parse_id(text: str) -> str | list[str]:
    """An id as `--id` gives it: a text, or the parts of an id as a line of CSV.

    Raises:
        ConfigError: a quote is not closed.
    """
    try:
        parts = next(csv.reader([text], strict=True), [""])
    except csv.Error as error:
        raise ConfigError(f"--id '{text[:40]}': no line of CSV ({error}); double a quote that belongs to it") from error
    return parts if len(parts) > 1 else "".join(parts)


def to_csv(found: Predictions, ids: Sequence[str]) -> str:
    """A line per id: id, score (one for each of several classes; empty where there is none), serial, flags.

    Where scores are explained, the margin of nobody's decisions and what each party adds follow.
    """
    scores = found.scores if found.scores.ndim > 1 else found.scores[:, None]
    outputs = scores.shape[1]
    names = ["score"] if outputs == 1 else [f"score_{number}" for number in range(outputs)]
    explained: list[str] = []
    if found.contributions is not None:
        ends = [""] if outputs == 1 else [f"_{number}" for number in range(outputs)]
        explained = [f"base{end}" for end in ends]
        explained += [f"{party}{end}" for party in found.parties for end in ends]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", *names, "serial", "flags", *explained])
    for place, one in enumerate(ids):
        row: list[Any] = [one, *(_shown(score) for score in scores[place])]
        row += ["" if found.serials[place] < 0 else int(found.serials[place]), "+".join(found.flag_names(place))]
        if found.contributions is not None and found.base is not None:
            row += [_shown(number) for number in (*found.base, *found.contributions[place].ravel())]
        writer.writerow(row)
    return text.getvalue()


def as_dict(found: Predictions, ids: Sequence[str]) -> dict[str, Any]:
    """For JSON."""
    report: dict[str, Any] = {
        "job_id": found.job_id,
        "model": None if found.model is None else found.model.as_dict(),
        "rows": len(ids),
        "ids": list(ids),
        **found.columns(),
    }
    return report


def _shown(number: float) -> str:
    return "" if math.isnan(number) else repr(float(number))
