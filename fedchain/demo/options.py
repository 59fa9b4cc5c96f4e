"""What the demo is asked for, and where it finds its job and its tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedchain.data.builtin import write_breast_cancer
from fedchain.data.source import table_file
from fedchain.errors import ConfigError
from fedchain.federation.spec import JobSpec
from fedchain.types import PartyId

BUILTIN = "breast_cancer"


@dataclass(frozen=True)
class DemoOptions:
    """Settings of `fedchain demo`.

    Attributes:
        data: folder with `<party>.csv` or `<party>.parquet` for each party of the job; None for the built-in table.
        job: job file; None for `nodes/examples/<name of the data folder>/job.toml`.
        chain: which chain to start: `embedded`, `anvil` or `ganache`; or the http(s) address of a running development
            chain, which is left running.
        report: where the report goes; the job as a page goes beside it, where what draws it is installed.
        workdir: folder for chain, nodes and logs, kept afterwards; None for a temporary one.
        holdout_seed: replaces the job's.
    """

    data: Path | None = None
    job: Path | None = None
    chain: str = "embedded"
    report: Path = Path("demo-report.json")
    workdir: Path | None = None
    holdout_seed: int | None = None

    @property
    def chain_kind(self) -> str:
        """What the report calls the chain: its kind, or `url` for one that was running already."""
        return "url" if "://" in self.chain else self.chain

    @property
    def page(self) -> Path:
        """Where the job goes as a page: beside the report, under its name."""
        return self.report.with_name(
            f"{self.report.stem}.html" if self.report.suffix == ".json" else f"{self.report.name}.html"
        )

    @property
    def dataset(self) -> str:
        """Name of the data set: the data folder's, or the built-in one's."""
        return BUILTIN if self.data is None else self.data.resolve().name

    def load_job(self) -> JobSpec:
        """The job, with the hold-out seed replaced where asked for.

        Raises:
            ConfigError: no such file, or not a valid job.
        """
        spec = JobSpec.from_toml(self.job or self._example())
        if self.holdout_seed is None:
            return spec
        raw = spec.model_dump(mode="json", by_alias=True)
        raw["holdout"]["seed"] = self.holdout_seed
        return JobSpec.model_validate(raw)

    def _example(self) -> Path:
        here, source = Path.cwd(), Path(__file__).resolve().parents[2]
        candidates = [root / "nodes" / "examples" / self.dataset / "job.toml" for root in (here, source)]
        for candidate in candidates:
            if candidate.is_file():
                return candidate
        raise ConfigError(f"{candidates[0]}: no such job file; write one (docs/reference/job.md) or name it with --job")

    def tables(self, spec: JobSpec, workdir: Path) -> dict[PartyId, Path]:
        """One CSV or Parquet file per party; the built-in ones are written below `workdir`.

        Raises:
            ConfigError: a party's file is missing, or there are two; says which.
        """
        folder = self.data
        if folder is None:
            folder = workdir / "tables"
            write_breast_cancer(folder)
        files = {name: table_file(folder, name) for name in spec.names}
        missing = [str(path) for path in files.values() if not path.is_file()]
        if missing:
            raise ConfigError(
                f"{missing[0]}: no such table; the demo wants <party>.csv or .parquet for each party of the job"
            )
        return files
