"""The whole job on one machine, for real: a chain, the contracts, one node process per party, one model.

Start → alignment → training → contribution → batch inference on the held-out rows → report.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from fedchain.chain import CHAIN_KINDS, start_dev_chain
from fedchain.contribution.gain import gain_shares
from fedchain.demo.options import DemoOptions
from fedchain.demo.progress import DemoProgress
from fedchain.demo.report import ChainUse, DemoReport, Seconds
from fedchain.errors import ConfigError, FedchainError
from fedchain.federation.spec import JobSpec
from fedchain.federation.tables import read_party_table
from fedchain.model.shard import model_digest
from fedchain.node.local import POLL_SECONDS, LocalConsortium, signals_unwind
from fedchain.node.reporting.facts import JobReport
from fedchain.node.reporting.page import can_draw, render
from fedchain.node.reporting.reading import read_report
from fedchain.simulation.reference import Reference, plaintext_reference
from fedchain.types import JobId, Phase

PHASE_OF_STAGE = {"align": Phase.TRAINING, "train": Phase.EVALUATING, "contribution": Phase.COMPLETED}


@dataclass
class _Stopwatch:
    """Cuts the run into disjoint pieces."""

    begun: float = field(default_factory=time.perf_counter)
    seconds: dict[str, float] = field(default_factory=dict)

    def cut(self, name: str) -> None:
        """End the piece that ran until now."""
        now = time.perf_counter()
        self.seconds[name] = now - self.begun
        self.begun = now


def run_demo(options: DemoOptions, progress: DemoProgress) -> DemoReport:
    """Run the demo and write its report.

    Everything that it started is stopped when it returns or raises; children also end by themselves should this
    process be killed.

    Raises:
        ConfigError, DataError, AlignmentError: the job or a table does not serve.
        JobAbortedError: the job was aborted on chain; says by whom and why.
        FedchainError: a node ended, or whatever else went wrong.
    """
    watch = _Stopwatch()
    with ExitStack() as stack:
        stack.enter_context(signals_unwind())
        workdir = _workdir(options, stack)
        spec = options.load_job()
        if spec.algorithm.objective != "binary":
            raise ConfigError(
                f"job '{spec.name}' has objective '{spec.algorithm.objective}'; the demo compares AUCs of objective "
                "'binary'; use `fedchain simulate` or nodes"
            )
        progress.expect(spec)
        files = options.tables(spec, workdir)
        tables = {name: read_party_table(files[name], spec, name) for name in spec.names}
        rpc_url = _chain(options.chain, workdir, stack, progress)
        progress.say("making keys and starting the nodes of " + ", ".join(spec.names))
        local = LocalConsortium.start(rpc_url, spec, files, workdir, stack)
        progress.say("training the plaintext reference while the nodes start")
        reference = plaintext_reference(spec, tables)
        local.accredit()
        job_id = local.submit(spec, str(options.job or options.dataset))
        watch.cut("start")
        for stage, until in PHASE_OF_STAGE.items():
            _follow(local, job_id, until, progress)
            watch.cut(stage)
        progress.say("asking for scores of the held-out rows")
        with local.control() as control:
            prediction = control.predict(job_id, "holdout")
        progress.finish()
        facts = read_report(local.consortium, local.view(job_id))
        report = _report(local, options, spec, job_id, reference, prediction.positions, prediction.scores, facts)
        watch.cut("predict")
        report.seconds = Seconds(**{name: round(value, 3) for name, value in watch.seconds.items()})
        report.save(options.report)
    if can_draw():
        options.page.write_text(render(facts), encoding="utf-8")
    return report


def _follow(local: LocalConsortium, job_id: JobId, until: Phase, progress: DemoProgress) -> None:
    """Show progress until the job reaches a phase."""
    while True:
        view = local.view(job_id)
        accepted, rejected = local.consortium.counts(job_id)
        progress.show(view, local.client.head(), accepted, rejected)
        if view.phase >= until:
            return
        local.require_alive()
        time.sleep(POLL_SECONDS)


def _report(
    local: LocalConsortium,
    options: DemoOptions,
    spec: JobSpec,
    job_id: JobId,
    reference: Reference,
    positions: np.ndarray[tuple[int], np.dtype[np.int64]],
    scores: np.ndarray[tuple[int], np.dtype[np.float64]],
    facts: JobReport,
) -> DemoReport:
    """Put the numbers together; shares and digests come off the chain."""
    if not np.array_equal(np.flatnonzero(reference.holdout), positions):
        raise FedchainError("the nodes held out other rows than the plaintext reference; compare the id columns")
    record = local.consortium.contribution(job_id)
    if record is None:
        raise FedchainError(f"no contribution is recorded for job {job_id}")
    view, head = local.view(job_id), local.client.head()
    digests = [local.consortium.shard_digest(job_id, address) for address in view.roster]
    accepted, rejected = local.consortium.counts(job_id)
    use = local.client.usage(local.first_block, head)
    by_party = dict(zip(spec.names, record.shares_e6, strict=True))
    return DemoReport(
        dataset=options.dataset,
        parties=list(spec.names),
        aligned_rows=view.aligned_rows,
        holdout_rows=len(positions),
        trees=view.round - 1,
        depth=spec.algorithm.depth,
        mode=spec.algorithm.mode.value,
        holdout_seed=spec.holdout.seed,
        auc_federated=float(roc_auc_score(reference.labels[positions], scores)),
        auc_active_only=reference.auc_active_only,
        auc_plaintext=reference.auc_plaintext,
        seconds=Seconds(start=0, align=0, train=0, contribution=0, predict=0),
        chain=ChainUse(
            kind=options.chain_kind,
            transactions=use.transactions,
            blocks=head - local.first_block + 1,
            gas=use.gas,
            uplinks_accepted=accepted,
            uplinks_rejected=rejected,
        ),
        contributions=gain_shares({str(name): share for name, share in by_party.items()}),
        contributions_e6={str(name): share for name, share in by_party.items()},
        p_values={
            line.party: line.p_value
            for line in (facts.contribution.shares if facts.contribution else ())
            if line.p_value is not None
        },
        anomalies=dict(Counter(str(one.category) for one in facts.anomalies)),
        model_digest=model_digest([one for one in digests if one is not None]),
        job_id=job_id,
    )


def _chain(choice: str, workdir: Path, stack: ExitStack, progress: DemoProgress) -> str:
    """Address of the chain: a running one's, or that of a new child process."""
    if choice.startswith(("http://", "https://")):
        progress.say(f"deploying the contracts on the chain at {choice}")
        return choice
    if choice not in CHAIN_KINDS:
        raise ConfigError(f"--chain {choice}: choose {', '.join(CHAIN_KINDS)}, or give a chain's http address")
    progress.say(f"starting the {choice} chain and deploying the contracts")
    kind = next(kind for kind in CHAIN_KINDS if kind == choice)
    return stack.enter_context(start_dev_chain(kind, log_path=workdir / "chain.log")).rpc_url


def _workdir(options: DemoOptions, stack: ExitStack) -> Path:
    if options.workdir is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedchain-demo-")))
    workdir = options.workdir.resolve()
    if workdir.exists() and any(workdir.iterdir()):
        raise ConfigError(f"{options.workdir}: is not empty; name a new folder with --workdir")
    workdir.mkdir(parents=True, exist_ok=True)
    return workdir
