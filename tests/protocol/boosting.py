"""Training alone, without alignment: real trainers of both roles over the in-memory channel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair
from fedchain.crypto.seal import SealingKey
from fedchain.federation.session import Keys
from fedchain.protocol import Party
from fedchain.simulation.channel import Channel, Tap
from fedchain.training.boosting.active import ActiveTrainer, Labelled
from fedchain.training.boosting.objectives import BinaryLogistic
from fedchain.training.boosting.params import BoostingParams, Mode
from fedchain.training.boosting.partition import Sealing
from fedchain.training.boosting.passive import PassiveTrainer
from fedchain.training.boosting.sampling import feature_order, order_secret
from fedchain.training.boosting.splitting import Layout
from fedchain.types import PartyId

OPERATOR, BANK, SHOP = PartyId("operator"), PartyId("bank"), PartyId("shop")
ROSTER = (OPERATOR, BANK, SHOP)
ROWS = 90
Bins = NDArray[np.uint8]
T = TypeVar("T")


def job_keys(roster: tuple[PartyId, ...] = ROSTER) -> dict[PartyId, Keys]:
    """Fresh sealing keys of a job, one `Keys` per party."""
    own = {party: SealingKey.generate() for party in roster}
    public = {str(party): key.public for party, key in own.items()}
    return {party: Keys(party, b"s" * 32, key.private, public) for party, key in own.items()}


def sealing_of(keys: Keys) -> Sealing:
    return Sealing(keys.seal_to_roster, keys.seal_to, keys.unseal)


@dataclass
class Training:
    """Two trees of depth 2 over three parties, of which both passive ones know something.

    `passive_type` replaces a passive party's trainer; `wrap` replaces its generator.
    """

    keys: KeyPair
    dlog: DlogTable
    executor: Executor

    def __post_init__(self) -> None:
        random = np.random.default_rng(5)
        self.params = BoostingParams(mode=Mode.STANDARD, trees=2, depth=2, bins=4, min_child_weight=0.5)
        self.sealing = job_keys()
        self.layout = Layout((4, 4), (False, True))
        self.bins: dict[PartyId, Bins] = {}
        for party in ROSTER:
            columns = [random.integers(0, 4, ROWS), random.integers(0, 5, ROWS)]
            self.bins[party] = np.asfortranarray(np.stack(columns, axis=1).astype(np.uint8))
        bank, shop = self.bins[BANK][:, 0].astype(float), self.bins[SHOP][:, 1].astype(float)
        score = (bank - 1.5) + np.where(shop < 4, shop - 1.5, 1.0) + random.normal(size=ROWS) * 0.7
        self.labels = (score > 0).astype(np.float64)
        self.train_rows = np.arange(ROWS) % 6 != 0

    def active(self, **changes: Any) -> ActiveTrainer:
        sealing = self.sealing[OPERATOR]
        return ActiveTrainer(
            **{
                "me": OPERATOR,
                "roster": ROSTER,
                "bins": self.bins[OPERATOR],
                "layout": self.layout,
                "rows": Labelled(self.labels, None, self.train_rows, np.zeros(ROWS, dtype=bool)),
                "params": self.params,
                "seed": 42,
                "has_features": (True, True, True),
                "objective": BinaryLogistic(),
                "stopping": None,
                "keys": self.keys,
                "dlog": self.dlog,
                "sealing": sealing_of(sealing),
                "commit": lambda plaintext, context: (bytes(32), sealing.seal_to(OPERATOR, plaintext, context)),
                "executor": self.executor,
                **changes,
            }
        )

    def passive(self, me: PartyId, trainer: type[PassiveTrainer] = PassiveTrainer, **changes: Any) -> PassiveTrainer:
        return trainer(
            **{
                "me": me,
                "roster": ROSTER,
                "bins": self.bins[me],
                "layout": self.layout,
                "params": self.params,
                "seed": 42,
                "has_features": (True, True, True),
                "output_keys": (self.keys.public,),
                "sealing": sealing_of(self.sealing[me]),
                "executor": self.executor,
                **changes,
            }
        )

    def position(self, party: PartyId, feature: int, tree: int = 1) -> int:
        """Where a passive party shows a feature in a tree."""
        order = feature_order(2, secret=order_secret(self.bins[party], 42), tree=tree)
        return int(np.flatnonzero(order == feature)[0])

    def shown(self, party: PartyId, features: Sequence[T], tree: int = 1) -> tuple[T, ...]:
        """Things of both features in the order in which a passive party shows them; other numbers as they are."""
        places = [self.position(party, feature, tree) for feature in range(2)]
        return tuple(features[places.index(one)] for one in range(2)) if len(features) == 2 else tuple(features)

    def run(
        self,
        *,
        tap: Tap | None = None,
        instead: Mapping[PartyId, Party[Any]] | None = None,
        wrap: Mapping[PartyId, Callable[[Party[Any]], Party[Any]]] | None = None,
    ) -> dict[PartyId, Any]:
        """Train; `instead` gives whole generators, `wrap` changes the honest ones."""
        parties: dict[PartyId, Party[Any]] = {}
        for party in ROSTER:
            if instead is not None and party in instead:
                parties[party] = instead[party]
            else:
                parties[party] = self.active().train() if party == OPERATOR else self.passive(party).train()
            if wrap is not None and party in wrap:
                parties[party] = wrap[party](parties[party])
        return Channel(tap=tap).run(parties)
