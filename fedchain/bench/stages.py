"""Where the time of training goes, seen from outside: a thread that looks at the running stack at short intervals.

The trainers know nothing of it. All parties run in one thread of a simulation, so each interval belongs to one stage,
and the stages of a run sum to its wall time. Intervals are 2 ms: a stage of a second is right to about 3 %.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping
from types import CodeType, FrameType

from fedchain.crypto.ciphertexts import Ciphertexts
from fedchain.crypto.elgamal import KeyPair
from fedchain.messages.base import decode, encode
from fedchain.training.boosting.groups import PassiveGroups
from fedchain.training.boosting.grower import Grower

INTERVAL_SECONDS = 0.002
OTHER = "other"
STAGES = ("encrypt", "serialise", "histogram", "decrypt", "split", OTHER)
"""`serialise` is both ways, with checks that points are on the curve; `histogram` the passive parties' merging of bins,
sums and re-randomisation; `split` all else that grows a tree at the active party: own sums, gains, partitions, checks;
`other` gradients, scores, and the passive parties' partitions."""

_STAGE_OF: Mapping[CodeType, str] = {
    KeyPair.encrypt_rows.__code__: "encrypt",
    KeyPair.decrypt_sums.__code__: "decrypt",
    Ciphertexts.to_bytes.__code__: "serialise",
    Ciphertexts.from_bytes.__func__.__code__: "serialise",  # type: ignore[attr-defined]
    encode.__code__: "serialise",
    decode.__code__: "serialise",
    PassiveGroups.descend.__code__: "histogram",
    PassiveGroups.encrypted_sums.__code__: "histogram",
    Grower.grow.__code__: "split",
}


def stage_of(frame: FrameType | None) -> str:
    """The stage of a stack: that of the innermost function that belongs to one."""
    while frame is not None:
        stage = _STAGE_OF.get(frame.f_code)
        if stage is not None:
            return stage
        frame = frame.f_back
    return OTHER


class StageSampler:
    """Times what the thread that starts it does until it stops it.

    Attributes:
        seconds: wall seconds per stage.
        cpu_seconds: of all threads of the process; other programs on the machine hardly change it.
    """

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.cpu_seconds = 0.0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch the calling thread."""
        self._stopped.clear()
        self.cpu_seconds -= time.process_time()
        watched = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, args=(watched,), name="fedchain-stages", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; may be called when nothing is watched."""
        if self._thread is not None:
            self._stopped.set()
            self._thread.join()
            self._thread = None
            self.cpu_seconds += time.process_time()

    def _watch(self, watched: int) -> None:
        last = time.perf_counter()
        done = False
        while not done:
            done = self._stopped.wait(INTERVAL_SECONDS)
            stage = stage_of(sys._current_frames().get(watched))
            now = time.perf_counter()
            self.seconds[stage] += now - last
            last = now
