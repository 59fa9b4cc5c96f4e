"""A settlement that a node owes, and remembers: `<state>/jobs/<job id>/settling.json`, gone once it is settled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec

from fedchain.errors import ModelFormatError
from fedchain.node.jobfiles import JobFiles, write_private
from fedchain.types import JobId

OWED = "settling.json"
MOST_TRIES = 20
"""With the pauses of `settling` these take about half a day."""
_MAX_REASON = 300


class Owed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A settlement that is due, or that a node has given up.

    Attributes:
        tries: that failed since the node was last started.
        reason: of the last one; empty before there is one.
    """

    tries: Annotated[int, msgspec.Meta(ge=0, le=MOST_TRIES)] = 0
    reason: str = ""

    @property
    def is_given_up(self) -> bool:
        """Whether the node tries no more before it is started again."""
        return self.tries >= MOST_TRIES

    @property
    def words(self) -> str:
        """For people: how far it has come."""
        if not self.tries:
            return "settlement of contributions, not tried yet"
        return f"settlement of contributions, tried {self.tries} of {MOST_TRIES} times: {self.reason}"

    def failed(self, error: Exception, *, for_good: bool = False) -> Owed:
        """After another try; `for_good` where no other can succeed."""
        reason = " ".join(str(error).split())[:_MAX_REASON]
        return Owed(MOST_TRIES if for_good else min(self.tries + 1, MOST_TRIES), reason)


def keep(state_folder: Path, job_id: JobId, owed: Owed) -> None:
    """Remember, in one step, with mode 0600.

    Raises:
        OSError: it cannot be written.
    """
    folder = JobFiles(state_folder, job_id).folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / OWED, msgspec.json.encode(owed) + b"\n")


def forget(state_folder: Path, job_id: JobId) -> None:
    """It is settled."""
    (JobFiles(state_folder, job_id).folder / OWED).unlink(missing_ok=True)


def owed_jobs(state_folder: Path) -> list[JobId]:
    """The jobs whose settlements are remembered, readable or not."""
    return [JobId(path.parent.name) for path in sorted((state_folder / "jobs").glob(f"0x*/{OWED}"))]


def read_owed(state_folder: Path) -> Iterator[tuple[JobId, Owed]]:
    """All that are remembered, by job.

    Raises:
        ModelFormatError: a file is damaged.
    """
    for job_id in owed_jobs(state_folder):
        path = state_folder / "jobs" / job_id / OWED
        try:
            yield job_id, msgspec.json.decode(path.read_bytes(), type=Owed)
        except FileNotFoundError:
            continue  # settled meanwhile
        except (OSError, msgspec.DecodeError) as error:
            raise ModelFormatError(
                f"{path}: cannot be read: {error}; restart the node, which settles the job and writes it anew"
            ) from error
