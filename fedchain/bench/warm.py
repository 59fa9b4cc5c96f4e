"""Seconds per tree with a full pool of masks: the same trainers, without alignment, the clock stopped between trees.

A pool fills in idle time. Here all parties share the cores, so it fills between trees, off the clock, and rests while a
tree grows; a party with a machine of its own has idle time enough while the others work.
"""

from __future__ import annotations

import hashlib
import time
from contextlib import ExitStack

import numpy as np

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair, MaskPool, PublicKey
from fedchain.crypto.seal import SealingKey
from fedchain.errors import TrainingError
from fedchain.federation.party import objective_of_params, sealing_of
from fedchain.federation.session import Keys
from fedchain.federation.spec import JobSpec
from fedchain.protocol import Party, Stage
from fedchain.simulation.channel import Channel
from fedchain.simulation.plaintext import BinMatrix
from fedchain.simulation.reference import Joined
from fedchain.training.boosting.active import ActiveTrainer, Labelled
from fedchain.training.boosting.passive import PassiveTrainer
from fedchain.training.boosting.splitting import Layout
from fedchain.types import PartyId

MOST_TREES = 10
FILL_SECONDS = 600.0


class _Clock:
    """Runs while a tree grows; fills the pool between trees."""

    def __init__(self, active: PartyId, pool: MaskPool) -> None:
        self.seconds = 0.0
        self._active, self._pool = active, pool
        self._tree = ExitStack()
        self._started = 0.0

    def on_stage(self, party: PartyId, stage: Stage) -> None:
        if stage.name != "train" or party != self._active:
            return
        if stage.done > 0:
            self.seconds += time.perf_counter() - self._started
        self._tree.close()
        if stage.done < stage.total:
            if not self._pool.wait(self._pool.capacity, FILL_SECONDS):
                raise TrainingError(f"the pool of masks did not fill in {FILL_SECONDS:.0f} seconds")
            self._tree.enter_context(self._pool.paused())
            self._started = time.perf_counter()


def seconds_per_tree_warm(spec: JobSpec, joined: Joined, executor: Executor, dlog: DlogTable) -> float:
    """Wall seconds per round of trees, of up to ten, the pool full at the start of each.

    Args:
        joined: the job's rows and bins, as `fedchain.simulation.reference.join` gives them.

    Raises:
        TrainingError: the pool does not fill.
    """
    roster, outputs = spec.names, spec.algorithm.outputs
    params = spec.algorithm.model_copy(update={"trees": min(spec.algorithm.trees, MOST_TREES)})
    pair = KeyPair.generate(2 * outputs)
    pair.encrypt_rows(np.zeros((2, 2 * outputs), dtype=np.int64), executor)  # public tables, built once per process
    points = pair.public.points
    public = tuple(PublicKey(points[2 * output : 2 * output + 2]) for output in range(outputs))
    own = {name: SealingKey.generate() for name in roster}
    keys = {
        name: Keys(name, bytes(32), own[name].private, {str(one): own[one].public for one in roster}) for name in roster
    }
    has_features = tuple(bool(features) for _, features in joined.matrices)
    active = roster[0]

    def commit(plaintext: bytes, context: str) -> tuple[bytes, bytes]:
        return hashlib.sha256(plaintext).digest(), keys[active].seal_to(active, plaintext, context)

    with MaskPool(pair, int(joined.train.sum())) as pool:
        parties: dict[PartyId, Party[object]] = {
            active: ActiveTrainer(
                active,
                roster,
                joined.matrices[0][0],
                _layout(joined.matrices[0]),
                Labelled(joined.labels, joined.weights, joined.train, ~(joined.train | joined.holdout)),
                params,
                spec.seed,
                has_features,
                objective_of_params(params),
                None,
                pair,
                dlog,
                sealing_of(keys[active]),
                commit,
                executor,
                masks=pool,
            ).train()
        }
        for index in range(1, len(roster)):
            bins, me = joined.matrices[index][0], roster[index]
            parties[me] = PassiveTrainer(
                me,
                roster,
                bins,
                _layout(joined.matrices[index]),
                params,
                spec.seed,
                has_features,
                public,
                sealing_of(keys[me]),
                executor,
            ).train()
        clock = _Clock(active, pool)
        Channel(on_stage=clock.on_stage).run(parties)
    return clock.seconds / params.trees


def _layout(matrix: BinMatrix) -> Layout:
    _, features = matrix
    return Layout(tuple(one.n_bins for one in features), tuple(one.has_missing for one in features))
