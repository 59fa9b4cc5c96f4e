"""The sections of `node.toml`."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from fedchain.data.schema import ColumnType, Schema
from fedchain.data.source import TableSource
from fedchain.data.sql import Query
from fedchain.node.secret import secret_line, secret_variable

_NonEmpty = Annotated[str, Field(min_length=1, max_length=4096)]


class Section(BaseModel):
    """Base of all: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ChainSection(Section):
    """`[chain]`.

    Attributes:
        rpc: HTTP address of a chain node.
        deployment: the file that records the consortium's contracts.
        chain_id: what the chain must answer; default: as recorded in the deployment.
        confirmations: a block counts once so many lie above it; 0 where blocks are final at once (QBFT, dev chains).
        accreditation_days: a node that is not accredited for so long gives up.
    """

    rpc: _NonEmpty
    deployment: Path
    chain_id: Annotated[int, Field(ge=1)] | None = None
    confirmations: Annotated[int, Field(strict=True, ge=0, le=1000)] = 0
    accreditation_days: Annotated[float, Field(gt=0, le=3650)] = 7.0


class KeysSection(Section):
    """`[keys]`: what proves who this node is; all but the keystore are files with mode 0600.

    Attributes:
        keystore: the encrypted chain key.
        passphrase_file: one line, the keystore's passphrase.
        certificate: the node's certificate, PEM; made at the first start where it and its key are missing.
        certificate_key: its private key, PEM.
        encryption_key: the node's private X25519 key, 64 hex digits; made at the first start where it is missing.
    """

    keystore: Path = Path("keystore.json")
    passphrase_file: Path = Path("passphrase")
    certificate: Path = Path("certificate.pem")
    certificate_key: Path = Path("certificate.key")
    encryption_key: Path = Path("encryption.key")


class DataSection(Section):
    """`[data]`: this party's own table; it never leaves the node. Either `path`, or `query` and the database's URL.

    Attributes:
        path: a file: `.parquet` or `.pq`, all other suffixes are CSV.
        query: one SELECT statement.
        url_file: one line, SQLAlchemy's URL of the database, in a file with mode 0600: it holds a password.
        url_env: name of the environment variable with that URL.
        columns: what each column is; a table without them is refused, and no other column is read.
        id: which column holds which part of a job's id, by the part's name; it counts before what the job says, and
            keeps the columns' names out of the job. The id of a job without parts is the part `id`.
    """

    path: Path | None = None
    query: Annotated[str, Field(min_length=1, max_length=65536)] | None = None
    url_file: Path | None = None
    url_env: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    columns: dict[str, ColumnType] | None = None
    id: dict[str, _NonEmpty] = {}

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        urls = [name for name in ("url_file", "url_env") if getattr(self, name) is not None]
        if (self.path is None) == (self.query is None):
            raise ValueError("give either path (a CSV or Parquet file) or query (a SELECT statement)")
        if self.path is not None and urls:
            raise ValueError(f"{urls[0]} goes with query; remove it, or path")
        if self.query is not None and len(urls) != 1:
            raise ValueError("query needs the database's URL: give either url_file or url_env")
        if self.columns is not None and "id" not in self.columns.values():
            raise ValueError('columns declares no id column; add one, such as customer = "id"')
        for part, column in self.id.items():
            if self.columns is not None and self.columns.get(column) != "id":
                raise ValueError(f'id names column "{column}" for part "{part}"; declare it as "id" in columns')
        return self

    def source(self, folder: Path) -> TableSource:
        """Where the table is. The database's URL is read now.

        Args:
            folder: that of `node.toml`: relative paths of database files count from there.

        Raises:
            ConfigError: the URL is missing, or others may read its file.
        """
        schema = None if self.columns is None else Schema(self.columns)
        if self.path is not None:
            return TableSource(self.path, schema, self.id)
        assert self.query is not None
        if self.url_file is not None:
            url = secret_line(self.url_file, "[data] url_file", "the database's URL")
        else:
            assert self.url_env is not None
            url = secret_variable(self.url_env, "[data] url_env", "the database's URL")
        return TableSource(Query(url, self.query, folder), schema, self.id)


class ServeSection(Section):
    """`[serve]`: where the node listens for its peers, and the socket of `fedchain` commands.

    Attributes:
        host: an address of this machine, or a name of one; `0.0.0.0` or `::` for all of them.
        port: 0 for any free one.
        endpoint: `host:port` that peers dial, for the registry; default: where it listens.
        control_socket: default `<state folder>/node.sock`.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    endpoint: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    control_socket: Path | None = None


class StateSection(Section):
    """`[state]`.

    Attributes:
        folder: of the node's memory, payloads, shards and sessions (mode 0700).
        keep_payloads: payload files of an ended job: until its end, for ever, or for so many days more.
    """

    folder: Path = Path("state")
    keep_payloads: Literal["job", "forever"] | Annotated[int, Field(ge=1, le=36500)] = "job"


class AnomaliesSection(Section):
    """`[anomalies]`.

    Attributes:
        vote: whether this node votes by itself on flagged statistics that it can recompute.
    """

    vote: Annotated[bool, Field(strict=True)] = True


class MetricsSection(Section):
    """`[metrics]`: Prometheus metrics over HTTP.

    Attributes:
        port: 0 for any free one, which the log names; default: no metrics are served.
        host: address to listen on. Whoever reaches it reads how busy this node is with whom.
    """

    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    host: _NonEmpty = "127.0.0.1"


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine alone; of names only `localhost` is known to be."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class ApiSection(Section):
    """`[api]`: the HTTP API for the node's own people and their systems.

    Attributes:
        port: 0 for any free one, which the log names; default: there is no API.
        host: address to listen on.
        certificate, certificate_key: of HTTPS, PEM; the key's file has mode 0600. Default: plain HTTP.
        plain_http_beyond_loopback: without a certificate, serve other addresses than this machine's loopback too:
            tokens, scores and uploaded tables then cross the network for all to read.
        max_upload_bytes: of an uploaded table.
    """

    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    host: _NonEmpty = "127.0.0.1"
    certificate: Path | None = None
    certificate_key: Path | None = None
    plain_http_beyond_loopback: Annotated[bool, Field(strict=True)] = False
    max_upload_bytes: Annotated[int, Field(strict=True, ge=1024, le=2**36)] = 1 << 28

    @model_validator(mode="after")
    def _is_private(self) -> Self:
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("certificate and certificate_key go together; give both, or neither for plain HTTP")
        if self.certificate is None and not self.plain_http_beyond_loopback and not is_loopback(self.host):
            raise ValueError(
                f"plain HTTP is for this machine alone, and host '{self.host}' is not its loopback; set certificate "
                'and certificate_key, or host = "127.0.0.1" (plain_http_beyond_loopback = true lets everybody on '
                "the way read tokens, scores and tables)"
            )
        return self

    @property
    def https(self) -> bool:
        """Whether it is served over TLS."""
        return self.certificate is not None


class JobsSection(Section):
    """`[jobs]`.

    Attributes:
        accept: `"all"`, or the names of the jobs that this node takes part in.
        threads: workers for heavy local work; default: one per core.
        fill_pools: prepare the next round's encryption in idle time; off where parties share a machine.
    """

    accept: Literal["all"] | tuple[str, ...] = "all"
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None
    fill_pools: Annotated[bool, Field(strict=True)] = True

    def takes(self, job_name: str) -> bool:
        """Whether this node accepts jobs of that name."""
        return self.accept == "all" or job_name in self.accept


class AlignmentSection(Section):
    """`[alignment]`: how often, and with how small sets, peers may ask which of their ids this party holds.

    Attributes:
        max_runs_per_peer_and_day: jobs with a peer on the roster that this node aligns within 24 hours.
        min_set_size: a peer's set of fewer ids is refused.
        max_size_ratio: so is one that is so many times smaller than the own set.
        hold_cached_sets: whether a job may name this node in `[alignment] cached`: then its ids are blinded under one
            key for all jobs with that peer in an epoch.
        epoch_days: how long such a key, and a peer's cached set, are kept at most.
        max_evaluations_per_epoch: ids of a peer that this node evaluates within `epoch_days`, whatever the job.
    """

    max_runs_per_peer_and_day: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 100
    min_set_size: Annotated[int, Field(strict=True, ge=1, le=20_000_000)] = 20
    max_size_ratio: Annotated[int, Field(strict=True, ge=1, le=20_000_000)] = 1000
    hold_cached_sets: Annotated[bool, Field(strict=True)] = False
    epoch_days: Annotated[float, Field(gt=0, le=366)] = 7.0
    max_evaluations_per_epoch: Annotated[int, Field(strict=True, ge=1, le=2**40)] = 1_000_000
