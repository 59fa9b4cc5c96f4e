"""All that a node does about requests by id, put together."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import structlog

from fedchain.chain import Participant
from fedchain.errors import AskRefusedError, FedchainError
from fedchain.exchange import Exchange
from fedchain.node.config import NodeConfig
from fedchain.node.modelstate import read_models
from fedchain.node.online.anchoring import Anchorer
from fedchain.node.online.answering import Answering
from fedchain.node.online.asking import Asker
from fedchain.node.online.job import OnlineJobs
from fedchain.node.online.meter import Meter, NoMeter
from fedchain.node.online.predictions import Id, Predictions
from fedchain.node.online.refusals import STOPPING
from fedchain.node.online.serials import Serials
from fedchain.node.online.targets import Targets
from fedchain.types import JobId

log = structlog.get_logger(__name__)

SERIALS = "serials.sqlite"
_MAY_HAVE_ANSWERED = ("running", "completed")
"""A backup may be older than a job's end, and so than the answers that followed."""


class Online:
    """One node's. Answers from `start` on.

    Args:
        config: the node's.
        exchange: its traffic.
        address: of its party.
        meter: is told what is asked and answered.

    Attributes:
        jobs: finished jobs as they are asked and answered.
        asker: the asking side, which bulk requests build on.
        anchorer: keeps and anchors receipts.
    """

    def __init__(self, config: NodeConfig, exchange: Exchange, *, address: str, meter: Meter | None = None) -> None:
        meter = meter or NoMeter()
        consortium = exchange.consortium
        self._exchange = exchange
        self.jobs = OnlineJobs(config, exchange)
        self.anchorer = Anchorer(consortium, address, config.state.folder)
        self._targets = Targets(consortium, self._warm_later)
        self.asker = Asker(self.jobs, exchange, self.anchorer, self._targets, meter, address=address)

        self.jobs.listen(self.asker.forget)

        def reserved(job_id: JobId, requester: str) -> int:
            return consortium.inference.reserved(job_id, requester).next

        has_answered = any(job.status in _MAY_HAVE_ANSWERED for job in exchange.state.jobs())
        self._serials = Serials(config.state.folder / SERIALS, reserved, has_answered=has_answered)
        self._answering = Answering(self.jobs, self._serials, exchange, self.asker.rounds, meter)
        self._is_open = False
        self._warming = threading.Lock()
        exchange.directory.listen(self._targets.observe)

    def start(self) -> None:
        """Answer from now on, anchor what an earlier process left, and load the models in use."""
        self._is_open = True
        self.anchorer.start()
        self._warm_later()

    def answer(self, caller: Participant, question: bytes) -> bytes:
        """See `Answering.answer`."""
        if not self._is_open:
            raise AskRefusedError(STOPPING, "this node is starting or stopping; ask again")
        return self._answering.answer(caller, question)

    def predict_ids(self, target: str, ids: Sequence[Id], *, explain: bool = False) -> Predictions:
        """See `Asker.predict_ids`."""
        return self.asker.predict_ids(target, ids, explain=explain)

    def forget_tables(self) -> None:
        """The node's table was replaced: ask and answer from the new one."""
        self.jobs.forget()

    def close(self) -> None:
        """Stop; what is not anchored is anchored by the next process."""
        self._is_open = False
        self.asker.close()
        self.anchorer.close()
        self._serials.close()

    def _warm_later(self) -> None:
        """Load the models in use, so that the first request for one need not wait for the table."""
        threading.Thread(target=self._warm, name="warm-models", daemon=True).start()

    def _warm(self) -> None:
        with self._warming:
            try:
                models = read_models(self._exchange.consortium)
                self.jobs.keep(one.job_id for one in models if one.job_id is not None)
                for model in models:
                    mine = None if model.job_id is None else self._exchange.state.job(model.job_id)
                    if mine is not None and mine.status == "completed" and self._is_open:
                        self.jobs.get(mine.job_id)  # not the others' side: they do it themselves
            except FedchainError as error:
                log.warning("a model in use could not be loaded ahead", error=str(error))
            except Exception as error:
                if self._is_open:  # else the state was closed meanwhile
                    log.error("loading models ahead failed", error=str(error), exc_info=True)
