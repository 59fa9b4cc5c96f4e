"""What a deployment has sent so far, in a file beside the deployment file: a killed one goes on from it.

One JSON object per line, only ever appended: first what is being deployed, then each transaction before it is sent, and
each one that is taken back. Nothing in it is secret: its transactions are signed, and meant for the chain. The file is
there only as long as a deployment is unfinished.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated

import msgspec

from fedchain.chain.client import ChainClient
from fedchain.chain.transaction import Call, Signed
from fedchain.errors import ConfigError, WrongChainError

DEFAULT_DELAY_SECONDS = 2 * 86_400
"""So long every party has to look at another version of the contracts, and to leave."""

_MAX_FILE_BYTES = 16 << 20
_Hash = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{64}$")]
_Address = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-fA-F]{40}$")]


class _Line(msgspec.Struct, tag_field="line", forbid_unknown_fields=True, frozen=True):
    pass


class _Begun(_Line, tag="begun", frozen=True):
    """What is being deployed: where, by whom, for whom."""

    chain_id: int
    genesis_hash: _Hash
    deployer: _Address
    stewards: list[_Address]
    threshold: Annotated[int, msgspec.Meta(ge=1)]
    delay_seconds: Annotated[int, msgspec.Meta(ge=0)]


class _Sent(_Line, tag="sent", frozen=True):
    """A signed transaction, written before it is sent."""

    nonce: Annotated[int, msgspec.Meta(ge=0)]
    tx_hash: _Hash
    raw: Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]+$")]
    what: str
    gas: int
    gas_price: int


class _Withdrawn(_Line, tag="withdrawn", frozen=True):
    """A transaction that is void: refused, failed, or its number was another's."""

    tx_hash: _Hash


def checked_threshold(threshold: int | None, stewards: Sequence[str]) -> int:
    """How many of the stewards carry a motion; by default more than half of them.

    Raises:
        ConfigError: more than there are, or none.
    """
    if threshold is None:
        return len(stewards) // 2 + 1
    if not 1 <= threshold <= len(stewards):
        raise ConfigError(f"threshold: {threshold} votes of {len(stewards)} stewards; give 1 to {len(stewards)}")
    return threshold


def progress_path(out: Path) -> Path:
    """The file beside a deployment file."""
    return out.with_name(f"{out.name}.progress")


class DeployLog:
    """The open file; an outbox of the deployer's sender, in which nothing is ever settled: all is looked up again.

    A context manager that closes it. One process at a time.

    Args:
        path: of the file.
        client: the chain.
        deployer: address that deploys.
        stewards: addresses; None takes those of the begun deployment, else the deployer alone.
        threshold: how many of them carry a motion; None takes the begun deployment's, else more than half.
        delay_seconds: between a change of the directory and its effect; None takes the begun deployment's, else
            `DEFAULT_DELAY_SECONDS`.

    Attributes:
        stewards, threshold, delay_seconds: what is deployed.
        resumed: transactions that an earlier run has recorded.

    Raises:
        ConfigError: it cannot be written, is damaged, is another deployment's, or another process is at work on it.
        WrongChainError: it is another chain's, or the chain was reset.
    """

    def __init__(
        self,
        path: Path,
        client: ChainClient,
        deployer: str,
        stewards: Sequence[str] | None,
        threshold: int | None = None,
        delay_seconds: int | None = None,
    ) -> None:
        self._path = path
        self._transactions: list[Signed] = []
        self._descriptor = self._locked()
        try:
            begun = self._read()
            if begun is None:
                self.stewards = list(stewards or [deployer])
                genesis = "0x" + client.genesis_hash().hex()
                self.threshold = checked_threshold(threshold, self.stewards)
                self.delay_seconds = DEFAULT_DELAY_SECONDS if delay_seconds is None else delay_seconds
                self._append(
                    _Begun(client.chain_id, genesis, deployer, self.stewards, self.threshold, self.delay_seconds)
                )
            else:
                self.stewards = begun.stewards
                self.threshold = begun.threshold
                self.delay_seconds = begun.delay_seconds
                self._check(begun, client, deployer, stewards)
                self._check_terms(begun, threshold, delay_seconds)
            self.resumed = len({one.nonce for one in self._transactions})
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> DeployLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def remove(self) -> None:
        """The deployment is finished, and recorded elsewhere."""
        self._path.unlink(missing_ok=True)

    def require_same(self, call: Call) -> None:
        """Raise where an earlier run has recorded something else for a step than it would do now.

        Raises:
            ConfigError: another version of the contracts was being deployed.
        """
        for one in self._transactions:
            if one.what == call.what and not one.call().is_same(call):
                raise ConfigError(
                    f"{self._path}: another version of fedchain began this deployment ({call.what} differs); "
                    "finish it with that version, or remove the file to deploy anew"
                )

    def void(self, what: str) -> None:
        """Forget a step's transactions: they were mined, and failed. The next run sends it anew."""
        for one in [one for one in self._transactions if one.what == what]:
            self.withdraw(one)

    # -- the outbox -------------------------------------------------------------------------------------------------

    def put(self, transaction: Signed) -> None:
        """See `Outbox`."""
        self._append(
            _Sent(
                transaction.nonce,
                "0x" + transaction.tx_hash.hex(),
                "0x" + transaction.raw.hex(),
                transaction.what,
                transaction.gas,
                transaction.gas_price,
            )
        )
        self._transactions.append(transaction)

    def withdraw(self, transaction: Signed) -> None:
        """See `Outbox`."""
        self._append(_Withdrawn("0x" + transaction.tx_hash.hex()))
        self._transactions = [one for one in self._transactions if one.tx_hash != transaction.tx_hash]

    def settle(self, nonce: int) -> None:
        """Nothing to record: the chain knows."""

    def pending(self) -> list[Signed]:
        """See `Outbox`; all of them."""
        return self.recorded(0)

    def recorded(self, first_nonce: int) -> list[Signed]:
        """See `Outbox`."""
        return sorted((one for one in self._transactions if one.nonce >= first_nonce), key=lambda one: one.nonce)

    def next_nonce(self) -> int:
        """See `Outbox`."""
        return max((one.nonce for one in self._transactions), default=-1) + 1

    # -- the file ---------------------------------------------------------------------------------------------------

    def _locked(self) -> int:
        """The file, open, and this process's alone; the lock ends with the process."""
        while True:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise ConfigError(f"{self._path}: cannot be written: {error.strerror}") from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if self._path.stat().st_ino == os.fstat(descriptor).st_ino:
                    return descriptor
            except BlockingIOError:
                os.close(descriptor)
                raise ConfigError(f"{self._path}: another process is deploying; wait until it is done") from None
            except FileNotFoundError:
                pass
            os.close(descriptor)  # whoever had it finished, and removed it, in between

    def _read(self) -> _Begun | None:
        """What an earlier run has recorded; a last line that was not written whole is cut off: nothing followed it."""
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            raw = file.read(_MAX_FILE_BYTES + 1)
        if len(raw) > _MAX_FILE_BYTES:
            raise self._damaged("it is too large")
        whole = raw[: raw.rfind(b"\n") + 1]
        if len(whole) < len(raw):
            os.ftruncate(self._descriptor, len(whole))
        decoder = msgspec.json.Decoder(_Begun | _Sent | _Withdrawn)
        try:
            begun, *rest = [decoder.decode(line) for line in whole.splitlines()] or [None]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._damaged(str(error)) from error
        if begun is not None and not isinstance(begun, _Begun):
            raise self._damaged("its first line does not say what is deployed")
        for line in rest:
            if isinstance(line, _Withdrawn):
                self._transactions = [one for one in self._transactions if "0x" + one.tx_hash.hex() != line.tx_hash]
            elif isinstance(line, _Sent):
                tx_hash, data = bytes.fromhex(line.tx_hash[2:]), bytes.fromhex(line.raw[2:])
                self._transactions.append(Signed(line.nonce, tx_hash, data, line.what, line.gas, line.gas_price))
            else:
                raise self._damaged("a second beginning")
        return begun

    def _check(self, begun: _Begun, client: ChainClient, deployer: str, stewards: Sequence[str] | None) -> None:
        anew = f"or remove {self._path} to deploy anew"
        if begun.chain_id != client.chain_id:
            raise WrongChainError(f"{self._path} ({anew}): chain id", begun.chain_id, client.chain_id)
        genesis = "0x" + client.genesis_hash().hex()
        if begun.genesis_hash != genesis:
            raise WrongChainError(
                f"{self._path} ({anew}): genesis block of the chain at {client.rpc_url}", begun.genesis_hash, genesis
            )
        if begun.deployer.lower() != deployer.lower():
            raise ConfigError(
                f"{self._path}: a deployment by {begun.deployer} is unfinished; give that account's key, {anew}"
            )
        if stewards is not None and {one.lower() for one in stewards} != {one.lower() for one in begun.stewards}:
            raise ConfigError(
                f"{self._path}: a deployment with the stewards {', '.join(begun.stewards)} is unfinished; "
                f"give these or none, {anew}"
            )

    def _check_terms(self, begun: _Begun, threshold: int | None, delay_seconds: int | None) -> None:
        for what, asked, found in (
            ("threshold", threshold, begun.threshold),
            ("delay", delay_seconds, begun.delay_seconds),
        ):
            if asked is not None and asked != found:
                raise ConfigError(
                    f"{self._path}: a deployment with the {what} {found} is unfinished, not {asked}; "
                    f"give that or none, or remove {self._path} to deploy anew"
                )

    def _append(self, line: _Line) -> None:
        """Write a line; it is on the disk when this returns."""
        data = json.dumps(msgspec.to_builtins(line)).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise ConfigError(f"{self._path}: cannot be written: {error.strerror}") from error

    def _damaged(self, why: str) -> ConfigError:
        return ConfigError(f"{self._path}: is no record of an unfinished deployment ({why}); move it away")
