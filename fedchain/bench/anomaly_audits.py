"""How often a label holder that tampers with rows is caught, at the size for which rates are stated: 6,000 rows.

Whole jobs with lying label holders are among the trials (`tampered_rows`, `false_utilities`); they are too small for
that, so the auditors' checks are run here by themselves, on a made-up model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedchain.bench.models import made_up_model
from fedchain.simulation.adversaries.label_holder import Audited, is_caught, tampered

ROWS = 6_000
TREES = 50
DEPTH = 3
PARTIES = 3
TAMPERED = 0.01
OPENED = (299, 459)
HONEST_SHARE = 8


@dataclass(frozen=True)
class Audits:
    """Settings.

    Attributes:
        count: audits for each number of opened rows.
        seed: of all that is drawn.
    """

    count: int
    seed: int

    def rates(self) -> dict[str, float]:
        """Caught shares.

        Returns:
            `tamper_catch_rate` (1 % of 6,000 rows, 299 opened), `tamper_catch_rate_459`, `audits_honest_accused` (of
            audits in which nothing is false); `runs_…` of each.
        """
        random = np.random.default_rng([self.seed, 77])
        audited = made_up(self.seed % 2**31)
        rates: dict[str, float] = {}
        for opened in OPENED:
            caught = []
            for _ in range(self.count):
                losses = tampered(audited.losses, round(TAMPERED * ROWS), int(random.integers(1, PARTIES)), random)
                caught.append(is_caught(audited, losses, opened, random.bytes(32)))
            name = "tamper_catch_rate" if opened == OPENED[0] else f"tamper_catch_rate_{opened}"
            rates |= {name: float(np.mean(caught)), f"runs_{name}": float(self.count)}
        few = max(1, self.count // HONEST_SHARE)
        wrong = [is_caught(audited, audited.losses, OPENED[0], random.bytes(32)) for _ in range(few)]
        return rates | {"audits_honest_accused": float(np.mean(wrong)), "runs_audits_honest_accused": float(few)}


def made_up(seed: int) -> Audited:
    """A model of 50 trees of depth 3 over three parties, with the bits and labels of 6,000 held-out rows."""
    made = made_up_model(PARTIES, rows=ROWS, trees=TREES, depth=DEPTH, seed=seed)
    return Audited.of(made.shards[0], made.bits, made.labels)
