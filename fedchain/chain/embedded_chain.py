"""A development chain in memory, on request in a file too: eth-tester's py-evm chain with an index of its own.

eth-tester finds a receipt by walking back over all blocks and rebuilds blocks to search their logs, which grows with
the chain. Here every transaction is mined at once into a block of its own, and receipts and logs are kept by hash and
block, so that sending, receipts and logs take the same time at block 10 and at block 10,000.

Free gas (base fee 0), Shanghai rules, a block gas limit far above any transaction, the development phrase's accounts
funded. A new chain has another genesis hash.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from typing import Any

from eth.abc import BlockHeaderAPI
from eth.db.atomic import AtomicDB
from eth.exceptions import HeaderNotFound, PyEVMError, Revert
from eth.vm.forks.shanghai import ShanghaiVM
from eth.vm.spoof import SpoofTransaction
from eth_tester.backends.pyevm.main import PyEVMBackend
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError
from rlp import encode as rlp_encode  # type: ignore[import-untyped]
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from fedchain.chain.account import DEV_MNEMONIC, DEV_PATH
from fedchain.chain.embedded_store import EmbeddedStore, KeptBlock, KeptLog, RecordingDB

BLOCK_GAS_LIMIT = 10**9
MAX_TIME_STEP_SECONDS = 2**31
DEV_ACCOUNTS = 10

_MALFORMED = (PyEVMError, ValidationError, RLPException, ValueError, TypeError, IndexError)


class RefusedError(Exception):
    """A request that the chain refuses; becomes a JSON-RPC error.

    Attributes:
        code: JSON-RPC error code; 3 is a revert.
        data: revert data as hex, or None.
    """

    def __init__(self, message: str, code: int = -32000, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


@dataclass(frozen=True)
class Log:
    """One log, in bytes: payloads stay half as large as their hex."""

    address: bytes
    topics: tuple[str, ...]
    data: bytes


@dataclass(frozen=True)
class Mined:
    """One block and its only transaction; the genesis block has none."""

    header: Any
    transaction: Any = None
    succeeded: bool = True
    logs: tuple[Log, ...] = ()
    created: bytes | None = None


class _VM(ShanghaiVM):
    """Lets blocks share a second: else a busy chain's time runs ahead of the clock, and deadlines pass early."""

    @classmethod
    def validate_header(cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI) -> None:
        if header.timestamp == parent_header.timestamp:
            parent_header = parent_header.copy(timestamp=parent_header.timestamp - 1)
        super().validate_header(header, parent_header)


class EmbeddedChain:
    """The chain's state and history. Every method takes the lock: requests are answered one at a time.

    Args:
        store: the file that keeps it; a chain in it goes on, in an empty one begins a new chain. None keeps nothing.
    """

    def __init__(self, store: EmbeddedStore | None = None) -> None:
        params = PyEVMBackend.generate_genesis_params({"gas_limit": BLOCK_GAS_LIMIT, "extra_data": os.urandom(32)})
        backend = PyEVMBackend.from_mnemonic(
            DEV_MNEMONIC,
            genesis_parameters={**params, "base_fee_per_gas": 0},
            vm_configuration=((0, _VM),),
            hd_path=DEV_PATH,
            num_accounts=DEV_ACCOUNTS,
        )
        self._chain = backend.chain
        self._lock = threading.RLock()
        self._store = store
        self._seconds_ahead = 0
        self._blocks: list[Mined] = []
        self._by_transaction: dict[bytes, int] = {}
        self._by_hash: dict[bytes, int] = {}
        self.accounts: tuple[bytes, ...] = tuple(backend.get_accounts())
        self.chain_id: int = self._chain.chain_id
        self._database: RecordingDB | None = None
        if store is None:
            self._enter(Mined(self._chain.get_canonical_block_header_by_number(0)))
        else:
            self._open(store)

    def _open(self, store: EmbeddedStore) -> None:
        """Take up the chain in the file, or begin it there with the new genesis block."""
        trie, kept = store.load()
        is_new = not kept
        if is_new:
            trie = dict(self._chain.chaindb.db.wrapped_db.kv_store)
            kept = [KeptBlock(0, True, None, ())]
            store.append(kept[0], dict(trie))
        self._database = RecordingDB(trie)
        self._chain = type(self._chain)(AtomicDB(self._database))
        for one in kept:
            logs = tuple(Log(log.address, log.topics, log.data) for log in one.logs)
            header = self._chain.get_canonical_block_header_by_number(one.number)
            transaction = self._chain.get_canonical_block_by_number(one.number).transactions[0] if one.number else None
            self._enter(Mined(header, transaction, one.succeeded, logs, one.created))

    def _enter(self, mined: Mined) -> None:
        """Add a block to the index."""
        number = len(self._blocks)
        self._blocks.append(mined)
        self._by_hash[bytes(mined.header.hash)] = number
        if mined.transaction is not None:
            self._by_transaction[bytes(mined.transaction.hash)] = number

    @property
    def head(self) -> int:
        """Number of the newest block."""
        return len(self._blocks) - 1

    def send_raw(self, raw: bytes) -> bytes:
        """Check and mine a signed transaction; returns its hash. A failing one is mined with status 0.

        Raises:
            RefusedError: it is malformed, or its nonce, price or balance do not fit.
            sqlite3.Error: the chain's file cannot be written: the chain must end.
        """
        with self._lock:
            vm = self._chain.get_vm()
            try:
                transaction = vm.get_transaction_builder().decode(raw)
                digest = bytes(transaction.hash)
                if transaction.chain_id != self.chain_id:  # py-evm lets a legacy transaction of any chain pass
                    raise RefusedError(f"transaction is for chain {transaction.chain_id}, not {self.chain_id}")
                if digest in self._by_transaction:
                    raise RefusedError("already known")
                self._chain.set_header_timestamp(self._next_timestamp())
                result, receipts, computations = self._chain.mine_all([transaction], mix_hash=os.urandom(32))
            except _MALFORMED as error:
                words = str(error)
                is_poor = "afford" in words or "enough balance" in words
                why = "insufficient funds" if is_poor else "invalid transaction"
                raise RefusedError(f"{why}: {words}") from error
            logs = tuple(
                Log(bytes(log.address), tuple(f"0x{topic:064x}" for topic in log.topics), bytes(log.data))
                for log in receipts[0].logs
            )
            created = None
            if transaction.to == b"":
                created = keccak(rlp_encode([transaction.sender, transaction.nonce]))[12:]
            mined = Mined(result.imported_block.header, transaction, not computations[0].is_error, logs, created)
            self._keep(mined)
            self._enter(mined)
            return digest

    def increase_time(self, seconds: int) -> int:
        """Move the clock of all later blocks ahead of the next one's time, so that a deadline need not be waited for.

        Nothing is kept of it: a chain that is started again from its file goes on a second per block until the
        machine's clock has caught up.

        Args:
            seconds: 0 to `MAX_TIME_STEP_SECONDS`.

        Returns:
            By how many seconds the clock is ahead of the machine's now.

        Raises:
            RefusedError: out of range.
        """
        if not 0 <= seconds <= MAX_TIME_STEP_SECONDS:
            raise RefusedError(f"the clock goes 0 to {MAX_TIME_STEP_SECONDS} seconds ahead, not {seconds}")
        with self._lock:
            self._seconds_ahead = self._next_timestamp() + seconds - int(time.time())
            return self._seconds_ahead

    def _next_timestamp(self) -> int:
        """Of a block that is mined now."""
        return max(int(time.time()) + self._seconds_ahead, int(self._blocks[-1].header.timestamp))

    def _keep(self, mined: Mined) -> None:
        """Write a block to the file, before anybody hears of it."""
        if self._store is None or self._database is None:
            return
        logs = tuple(KeptLog(log.address, log.topics, log.data) for log in mined.logs)
        block = KeptBlock(mined.header.block_number, mined.succeeded, mined.created, logs)
        self._store.append(block, self._database.take_changes())

    def call(self, sender: bytes, to: bytes, data: bytes, value: int, gas: int | None, number: int) -> bytes:
        """Execute a call on the state after a block, and forget it.

        It is executed as a transaction in the next block would be, or would have been, at that block's time: a deadline
        passes while no block is mined, too, and why a transaction failed is found out by calling what it called.

        Raises:
            RefusedError: it reverted (code 3 with the revert data) or failed.
        """
        return bytes(self._execute(sender, to, data, value, gas, number)[1].output)

    def estimate(self, sender: bytes, to: bytes, data: bytes, value: int, gas: int | None, number: int) -> int:
        """Gas with which a transaction after a block goes through, from one execution instead of a search.

        What it used, refunds not taken off, and a fourteenth more: a call hands on 63/64 of what is left, so that what
        is used four calls deep needs up to 7 % more at the top.

        Raises:
            RefusedError: as `call`.
        """
        intrinsic, computation = self._execute(sender, to, data, value, gas, number)
        used: int = computation.get_gas_used()
        return intrinsic + used + used // 14

    def _execute(
        self, sender: bytes, to: bytes, data: bytes, value: int, gas: int | None, number: int
    ) -> tuple[int, Any]:
        """The gas that a transaction costs before it is executed, and its execution, which leaves no trace."""
        with self._lock:
            parent = self.block(number).header
            is_newest = number == self.head
            timestamp = self._next_timestamp() if is_newest else self.block(number + 1).header.timestamp
            vm = self._chain.get_vm(at_header=self._chain.create_header_from_parent(parent, timestamp=timestamp))
            transaction = vm.get_transaction_builder().create_unsigned_transaction(
                nonce=vm.state.get_nonce(sender),
                gas_price=0,
                gas=min(gas or BLOCK_GAS_LIMIT, BLOCK_GAS_LIMIT),
                to=to,
                value=value,
                data=data,
            )
            try:
                computation = vm.state.apply_transaction(SpoofTransaction(transaction, from_=sender))
            except ValidationError as error:
                raise RefusedError(f"invalid call: {error}") from error
            if not computation.is_error:
                return int(transaction.intrinsic_gas), computation
            if isinstance(computation.error, Revert):
                reason = bytes(computation.error.args[0]) if computation.error.args else b""
                raise RefusedError("execution reverted", 3, "0x" + reason.hex())
            raise RefusedError(f"execution failed: {type(computation.error).__name__}: {computation.error}")

    def nonce(self, address: bytes, number: int) -> int:
        """An account's nonce after a block."""
        return int(self._state(number).get_nonce(address))

    def balance(self, address: bytes, number: int) -> int:
        """An account's balance after a block, wei."""
        return int(self._state(number).get_balance(address))

    def code(self, address: bytes, number: int) -> bytes:
        """An account's code after a block."""
        return bytes(self._state(number).get_code(address))

    def block(self, number: int) -> Mined:
        """A block by number.

        Raises:
            RefusedError: there is none.
        """
        if not 0 <= number <= self.head:
            raise RefusedError(f"block {number} not found; the head is {self.head}")
        return self._blocks[number]

    def number_of_block(self, block_hash: bytes) -> int | None:
        """The number of the block with a hash."""
        return self._by_hash.get(block_hash)

    def number_of_transaction(self, transaction_hash: bytes) -> int | None:
        """The number of the block that holds a transaction."""
        return self._by_transaction.get(transaction_hash)

    def _state(self, number: int) -> Any:
        with self._lock:
            try:
                return self._chain.get_vm(at_header=self.block(number).header).state
            except HeaderNotFound as error:  # pragma: no cover - every block is kept
                raise RefusedError(f"block {number} not found") from error
