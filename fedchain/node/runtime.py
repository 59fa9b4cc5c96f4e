"""A node from start to stop: chain, registry, traffic, jobs, requests, control socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import structlog
from numpy.typing import NDArray

from fedchain.chain import ChainClient, Consortium, Deployment, RequestAsked, RequestOpened, Sender
from fedchain.compute.executor import Executor
from fedchain.errors import ConfigError, NotAccreditedError, StoppingError, UnknownJobError
from fedchain.exchange import Exchange, Identity, Inbox, Retention
from fedchain.exchange.channel import shorten
from fedchain.federation.spec import JobSpec
from fedchain.node.bulk.asking import RoundsOfChunks
from fedchain.node.bulk.desk import BatchDesk
from fedchain.node.certificate_files import CertificateFiles
from fedchain.node.checkpoints import find_checkpoint
from fedchain.node.config import NodeConfig
from fedchain.node.control import ControlServer
from fedchain.node.encryption import open_encryption_key
from fedchain.node.jobs import Jobs
from fedchain.node.key_rotation import KeyRotation, KeyRotator, acting_account
from fedchain.node.membership import join, wait_until_accredited
from fedchain.node.metrics import Metrics, MetricsServer
from fedchain.node.models import ModelDesk
from fedchain.node.modelstate import ModelUse, VersionState, is_model_name, job_in_use, read_use
from fedchain.node.online.online import Online
from fedchain.node.online.predictions import Id, Predictions
from fedchain.node.owntable import OwnTable
from fedchain.node.progress import Line, ProgressBoard
from fedchain.node.proposing import propose
from fedchain.node.requests import Requests
from fedchain.node.rotation import Rotation
from fedchain.node.rotator import Rotator
from fedchain.node.settling import Settler
from fedchain.node.strict.predictions import METHOD as STRICT_METHOD
from fedchain.node.strict.predictions import StrictPredictions, strict_method
from fedchain.node.strict.strict import Strict
from fedchain.node.voting import Voter
from fedchain.node.waiting import WaitBoard
from fedchain.types import JobId, PartyId

if TYPE_CHECKING:
    from fedchain.node.api.server import ApiServer

log = structlog.get_logger(__name__)

_READY_SECONDS = 10.0
_STOP_SECONDS = 10.0


class Node:
    """One party's node. Between construction and `close` it holds the state folder, a port and a socket.

    Args:
        config: from `node.toml`.
        stop: set by whoever wants the node to stop; the node sets it too when asked over its socket.

    Attributes:
        name: in the registry.
        address: of its party; its key's own until that was rotated.
        exchange: its traffic.
        board: its progress.
        metrics: serves them, None where `[metrics] port` is not set.
        online: asks and answers by id.
        api: serves the HTTP API, None where `[api] port` is not set.

    Raises:
        ConfigError: keystore, passphrase, certificate, deployment file, port or socket; names file and key.
        ChainUnreachableError: nothing answers at the RPC address.
        WrongChainError: the chain is not the deployment's, or not the one that the state folder belongs to.
        ContractMissingError: the contracts are not there.
    """

    def __init__(self, config: NodeConfig, stop: threading.Event) -> None:
        self.name = PartyId(config.name)
        self.board = ProgressBoard()
        self.metrics: MetricsServer | None = None
        self.api: ApiServer | None = None
        self._config = config
        self._stop = stop
        self._ready = threading.Event()
        self._entered = threading.Event()
        socket = config.control_socket
        _ = config.table  # a missing database URL shows now, not when a job comes
        self._files = CertificateFiles.of(config)
        identity = self._files.load()
        encryption_key = open_encryption_key(config)
        deployment = Deployment.load(config.chain.deployment)
        client = ChainClient(config.chain.rpc, expected_chain_id=config.chain.chain_id or deployment.chain_id)
        account, self.address = acting_account(config, client, deployment)
        consortium = Consortium(client, deployment, Sender(client, account))
        self._encryption_key = encryption_key.public
        self._jobs: Jobs
        self._requests: Requests
        self.online: Online
        self.exchange = Exchange(
            client,
            consortium,
            address=self.address,
            name=self.name,
            identity=identity,
            folder=config.state.folder,
            on_job=lambda event, inbox: self._jobs.on_job(event, inbox),
            on_request=lambda event, inbox: self._on_request(event, inbox),
            answer=lambda caller, question: self.online.answer(caller, question),
            host=config.serve.host,
            port=config.serve.port,
            endpoint=config.serve.endpoint,
            retention=Retention.of(config.state.keep_payloads),
            poll_seconds=config.poll_seconds,
            confirmations=config.chain.confirmations,
        )
        try:
            executor = Executor(config.jobs.threads)
            self._settler = Settler(consortium, folder=config.state.folder, me=config.name, waits=self.exchange.waits)
            self._jobs = Jobs(
                config,
                self.exchange,
                address=self.address,
                executor=executor,
                board=self.board,
                settler=self._settler,
            )
            self._requests = Requests(config, self.exchange, address=self.address, board=self.board)
            self._models = ModelDesk(consortium, address=self.address, name=self.name, folder=config.state.folder)
            self._rotator = Rotator(self._files, self.exchange, address=self.address)
            self._key_rotator = KeyRotator(config, self.exchange)
            metrics = Metrics(self.exchange, address=self.address)
            self.online = Online(config, self.exchange, address=self.address, meter=metrics)
            if config.metrics.port is not None:
                self.metrics = MetricsServer(metrics, config.metrics)
            if config.api.port is not None:
                self.api = self._open_api(metrics)
            self._strict = Strict(self.exchange, self.online.jobs, address=self.address, name=self.name)
            batches = BatchDesk(RoundsOfChunks(config, self.online.asker), self.resolve, self.model_use, self._pause)
            strict = strict_method(self._predict_strictly, self.resolve, self.model_use)
            self._control = ControlServer(self, socket, {**batches.methods(), STRICT_METHOD: strict})
            self._voter = Voter(consortium, address=self.address) if config.anomalies.vote else None
            self._wait_board = WaitBoard(self.exchange.waits, self.board, self.name)
        except BaseException:
            if self.api is not None:
                self.api.close()
            if self.metrics is not None:
                self.metrics.close()
            self.exchange.close()
            raise

    def start(self, *, wait_for_accreditation: bool = True) -> bool:
        """Register, wait until accredited, and begin to read the chain.

        Args:
            wait_for_accreditation: False to fail instead of waiting.

        Returns:
            Whether it started; False when it was stopped before it was accredited.

        Raises:
            NotAccreditedError: suspended; or not accredited, and not to wait or not in time.
            ConfigError: the name or the address is registered otherwise.
        """
        self.exchange.resume()
        consortium = self.exchange.consortium
        status = join(
            consortium,
            address=self.address,
            name=self.name,
            endpoint=self.exchange.endpoint,
            certificate=self.identity.certificate,
            encryption_key=self._encryption_key,
        )
        self._files.finish(self.identity)
        self._entered.set()
        self._show(status.name.lower(), ready=False)
        if not wait_until_accredited(
            consortium,
            address=self.address,
            name=self.name,
            stop=self._stop,
            wait=wait_for_accreditation,
            limit_seconds=self._config.chain.accreditation_days * 86_400,
            waits=self.exchange.waits,
        ):
            return False
        self._jobs.resume()
        self._settler.start()
        self._requests.resume(self._strict)
        self.exchange.start()
        self.online.start()
        self._strict.start()
        if self._voter is not None:
            self._voter.start()
        self._show("accredited", ready=True)
        self._ready.set()
        log.info("node is ready", name=self.name, address=self.address, endpoint=self.exchange.endpoint)
        return True

    def close(self) -> None:
        """Stop; jobs under way go on when the node is started again."""
        self._stop.set()
        self._show("stopping", ready=False)
        self._rotator.close()
        self._key_rotator.close()
        self.exchange.interrupt(StoppingError("this node is stopping"))
        if self.api is not None:
            self.api.close()
        self._requests.close()
        self._strict.close()
        if self._voter is not None:
            self._voter.close()
        self.online.close()
        self._jobs.join(_STOP_SECONDS)
        self._settler.close()
        self._wait_board.close()
        if self.metrics is not None:
            self.metrics.close()
        self.board.close()
        self._control.close()
        self.exchange.close()
        log.info("node stopped", name=self.name)

    @property
    def identity(self) -> Identity:
        """Its certificate and key; another one after a rotation."""
        return self.exchange.identities.current

    @property
    def failure(self) -> BaseException | None:
        """What ended reading the chain for good, if anything did."""
        return self.exchange.subscriber.failure

    # -- what the control socket offers -----------------------------------------------------------------------------

    def submit(self, spec_toml: str, where: str) -> JobId:
        """Propose a job; spec, roster and policy become public on the chain.

        Raises:
            ConfigError: the job file is not valid, or names a party that is not registered.
            CheckpointError: it continues a model of which this node has no shard.
            NotAccreditedError: this or another party of it is not accredited.
        """
        return self.propose(JobSpec.from_toml_text(spec_toml, where), where)

    def propose(self, spec: JobSpec, where: str) -> JobId:
        """As `submit`, of a job file that was read already."""
        if self.name not in spec.names:
            raise ConfigError(f"{where}: this node is '{self.name}', the job names {', '.join(spec.names)}")
        find_checkpoint(self._config.state.folder, spec)
        self._wait_ready()
        return propose(self.exchange.consortium, spec, where)

    def abort(self, job_id: JobId, reason: str) -> None:
        """Abort a job that has not ended; the reason becomes public on the chain.

        Raises:
            UnknownJobError: not a job of this node.
            TransactionError: it has ended.
        """
        self._wait_ready()
        if self.exchange.state.job(job_id) is None:
            raise UnknownJobError(f"job {job_id} is unknown to this node")
        self.exchange.consortium.abort(job_id, shorten(reason))

    def predict(
        self, job_id: JobId, positions: NDArray[np.int64] | None
    ) -> tuple[int, NDArray[np.int64], NDArray[np.float64]]:
        """Ask the roster for scores; see `Requests.predict`."""
        self._wait_ready()
        return self._requests.predict(job_id, positions)

    def predict_ids(self, target: str, ids: Sequence[Id], *, explain: bool = False) -> Predictions:
        """Ask for scores by id; see `Asker.predict_ids`."""
        self._wait_ready()
        return self.online.predict_ids(target, ids, explain=explain)

    def resolve(self, target: str) -> JobId:
        """The job that a job id, or a model's name, stands for: that of the version in use.

        Raises:
            ConfigError: a name of which no version is in use.
            UnknownModelError: no such model.
        """
        if not is_model_name(target):
            return JobId(target.lower())
        self._wait_ready()
        return job_in_use(self.exchange.consortium, target)

    def model_use(self, job_id: JobId) -> ModelUse | None:
        """As what a job's model is registered, None if it is not."""
        self._wait_ready()
        return read_use(self.exchange.consortium, job_id)

    def propose_model(self, name: str, job_id: JobId) -> VersionState:
        """Propose the model of a job that this node has finished; see `ModelDesk.propose`."""
        self._wait_ready()
        return self._models.propose(name, job_id)

    def approve_model(self, name: str, version: int) -> VersionState:
        """Approve a version of which this node keeps a shard; see `ModelDesk.approve`."""
        self._wait_ready()
        return self._models.approve(name, version)

    def activate_model(self, name: str, version: int) -> VersionState:
        """Put a version into use; see `ModelDesk.activate`."""
        self._wait_ready()
        return self._models.activate(name, version)

    def roll_back_model(self, name: str) -> VersionState:
        """Put the version into use again that was in use before; see `ModelDesk.roll_back`."""
        self._wait_ready()
        return self._models.roll_back(name)

    def rotate_certificate(self) -> Rotation:
        """Replace this node's certificate while it runs; see `Rotator.rotate`.

        Raises:
            ConfigError: it is not in the registry yet, or a rotation is under way.
            ChainError: see `Rotator.rotate`.
        """
        self._wait_entered()
        return self._rotator.rotate()

    def rotate_key(self) -> KeyRotation:
        """Replace the key that acts for this node's party while it runs; see `KeyRotator.rotate`.

        Raises:
            ConfigError: it is not in the registry yet, or a rotation is under way.
            ChainError: see `KeyRotator.rotate`.
        """
        self._wait_entered()
        return self._key_rotator.rotate()

    def status(self, *, follow: bool, job_id: str | None) -> Iterator[Line | None]:
        """Status lines; see `ProgressBoard.watch`."""
        return self.board.watch(follow=follow, job_id=job_id)

    def is_ready(self) -> bool:
        """Whether this node takes jobs."""
        return self._ready.is_set() and not self._stop.is_set() and self.failure is None

    def shut_down(self) -> None:
        """Stop the node soon."""
        self._stop.set()

    def _open_api(self, metrics: Metrics) -> ApiServer:
        from fedchain.node.api.node_backend import NodeBackend  # FastAPI is loaded by nodes that serve the API alone
        from fedchain.node.api.server import ApiServer

        table = OwnTable(
            self._config,
            lock=self._jobs.table_lock,
            users=self._jobs.users_of_table,
            on_replaced=self._forget_tables,
        )
        backend = NodeBackend(self, self._config, table)
        return ApiServer(backend, self._config, on_request=metrics.on_http_request)

    def _forget_tables(self) -> None:
        self._requests.forget_tables()
        self.online.forget_tables()

    def _on_request(self, event: RequestOpened | RequestAsked, inbox: Inbox) -> None:
        if isinstance(event, RequestAsked):
            self._strict.on_asked(event, inbox)
        else:
            self._requests.on_request(event, inbox)

    def _predict_strictly(self, job_id: JobId, ids: Sequence[Id]) -> StrictPredictions:
        self._wait_ready()
        return self._strict.predict(job_id, ids)

    def _pause(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StoppingError("this node is stopping")

    def _wait_entered(self) -> None:
        if not self._entered.wait(_READY_SECONDS):
            raise ConfigError(f"node '{self.name}' is not in the registry yet; try again once it is")

    def _wait_ready(self) -> None:
        if not self._ready.wait(_READY_SECONDS):
            raise NotAccreditedError(f"party '{self.name}' ({self.address}) waits for accreditation by a steward")

    def _show(self, status: str, *, ready: bool) -> None:
        self.board.post(
            "node",
            name=self.name,
            address=self.address,
            endpoint=self.exchange.endpoint,
            status=status,
            ready=ready,
        )
