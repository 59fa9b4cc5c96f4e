"""`fedchain predict … --strict`: requests that go over the chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedchain.cli.output import note, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedchain.node.strict.predictions import StrictPredictions


def predict_strict(target: str, node: Path, ids: Sequence[str | tuple[str, ...]], *, as_json: bool) -> None:
    """Ask strictly, and print scores in the order asked for.

    Raises:
        FedchainError: see `Strict.predict`.
    """
    from fedchain.node.config import load_config
    from fedchain.node.control_client import ControlClient
    from fedchain.node.strict.predictions import predict_strictly

    with ControlClient(load_config(node / "node.toml").control_socket) as control:
        found = predict_strictly(control, target, ids)
    if found.model is not None and found.model.note is not None:
        note(found.model.note)
    if as_json:
        print_json(
            {
                "job_id": found.job_id,
                "model": None if found.model is None else found.model.as_dict(),
                "ids": [one if isinstance(one, str) else list(one) for one in ids],
                "request_ids": [None if one < 0 else one for one in found.requests.tolist()],
                "scores": [_score(found, place) for place in range(len(ids))],
                "flags": [found.flag_names(place) for place in range(len(ids))],
            }
        )
        return
    print("id,request_id,score,flags")
    for place, one in enumerate(ids):
        score = _score(found, place)
        text = "" if score is None else ";".join(map(repr, score)) if isinstance(score, list) else repr(score)
        name = one if isinstance(one, str) else ";".join(one)
        request = "" if found.requests[place] < 0 else str(found.requests[place])
        print(f"{name},{request},{text},{';'.join(found.flag_names(place))}")


def _score(found: StrictPredictions, place: int) -> float | list[float] | None:
    """Of one id; None where it is unknown."""
    if found.requests[place] < 0:
        return None
    score: float | list[float] = found.scores[place].tolist()
    return score
