"""`fedchain predict --id … --strict`: requests that go over the chain."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedchain.cli.output import note, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedchain.node.strict.predictions import StrictPredictions


def predict_strict(socket: Path, target: str, ids: Sequence[str], *, out: Path | None, as_json: bool) -> None:
    """Ask strictly, and print or write the scores in the order asked for.

    Raises:
        FedchainError: see `Strict.predict`.
    """
    from fedchain.cli.predict import write_text
    from fedchain.cli.predict_ids import parse_id
    from fedchain.node.control_client import ControlClient
    from fedchain.node.strict.predictions import predict_strictly

    with ControlClient(socket) as control:
        found = predict_strictly(control, target, [parse_id(one) for one in ids])
    if found.model is not None and found.model.note is not None:
        note(found.model.note)
    if out is not None:
        write_text(out, to_csv(found, ids))
        note(f"wrote {len(ids)} scores to {out}")
    if as_json:
        report: dict[str, Any] = {
            "job_id": found.job_id,
            "model": None if found.model is None else found.model.as_dict(),
            "rows": len(ids),
        }
        if out is not None:
            report["out"] = str(out)
        else:
            report["ids"] = list(ids)
            report["request_ids"] = [None if one < 0 else one for one in found.requests.tolist()]
            report["scores"] = [
                None if one < 0 else score
                for one, score in zip(found.requests.tolist(), found.scores.tolist(), strict=True)
            ]
            report["flags"] = [found.flag_names(place) for place in range(len(ids))]
        print_json(report)
    elif out is None:
        print(to_csv(found, ids), end="")


def to_csv(found: StrictPredictions, ids: Sequence[str]) -> str:
    """A line per id: id, score (one for each of several classes; empty where there is none), request, flags."""
    scores = found.scores if found.scores.ndim > 1 else found.scores[:, None]
    names = ["score"] if scores.shape[1] == 1 else [f"score_{number}" for number in range(scores.shape[1])]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", *names, "request_id", "flags"])
    for place, one in enumerate(ids):
        shown = ["" if math.isnan(score) else repr(float(score)) for score in scores[place]]
        request = int(found.requests[place])
        writer.writerow([one, *shown, "" if request < 0 else request, "+".join(found.flag_names(place))])
    return text.getvalue()
