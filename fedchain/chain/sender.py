"""Signs and sends one account's transactions: each recorded before it is sent, one nonce after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from fedchain.chain.abi import describe_revert
from fedchain.chain.account import Account
from fedchain.chain.client import ChainClient
from fedchain.chain.decoder import EventDecoder
from fedchain.chain.gas import TRANSFER_GAS, floor_gas, with_margin
from fedchain.chain.outbox import MemoryOutbox, Outbox
from fedchain.chain.refusals import is_known, is_nonce, is_poor, is_price
from fedchain.chain.reverts import revert_data, why_failed
from fedchain.chain.rpc import RpcError
from fedchain.chain.transaction import Call, Receipt, Signed, sign
from fedchain.chain.turnstile import Turnstile
from fedchain.chain.watcher import Flight, Watcher
from fedchain.errors import ChainError, ConfigError, NonceTakenError, TransactionError

_ATTEMPTS = 4
_REPEATED_TRIES = 10
_REPEATED_PAUSE_SECONDS = 0.1


_ROTATION_SECONDS = 600.0
"""How long a transaction waits at most while the account is being replaced."""

ROTATION = "rotation"
MINING = "mining"
OnWait = Callable[[str, str, float], AbstractContextManager[object]]


def unwatched(about: str, what: str, limit_seconds: float) -> AbstractContextManager[object]:
    """Nobody is told of a wait."""
    return nullcontext()


class Sender:
    """Sends transactions of one account; several threads may share it. One process at a time may use the key.

    1. A transaction gets its nonce, is signed, recorded in the outbox, and sent: one after the other, under a lock.
    2. Its receipt is awaited outside of the lock: on a chain with a block time, transactions of several threads go into
       one block. What is not mined is sent again byte for byte, or replaced by the same call with the same nonce at a
       higher price (`Watcher`).
    3. It is settled in the outbox when its receipt is read.

    What a process left behind, or a caller gave up on (an outage, a timeout), stays in the outbox. The same call later
    takes it up instead of being sent anew, so that a call that was asked for again is done once.

    Args:
        client: the chain.
        account: pays and signs.
        outbox: where transactions are recorded; None for the memory of this process.
        receipt_timeout_seconds: how long to wait for a transaction to be mined.
        stuck_seconds: how long a transaction may take before something is done about it.

    Attributes:
        on_wait: gives a context in which each wait goes on; told whether it is for `MINING` or, while the account is
            being replaced, for `ROTATION`, what for in words, and for how long at most.
    """

    def __init__(
        self,
        client: ChainClient,
        account: Account,
        *,
        outbox: Outbox | None = None,
        receipt_timeout_seconds: float = 120.0,
        stuck_seconds: float = 5.0,
    ) -> None:
        self.client = client
        self.account = account
        self._outbox: Outbox = MemoryOutbox() if outbox is None else outbox
        self._timeout_seconds = receipt_timeout_seconds
        self._stuck_seconds = stuck_seconds
        self.on_wait: OnWait = unwatched
        self._turnstile = Turnstile()
        self._lock = threading.RLock()
        self._flights: dict[int, Flight] = {}
        self._watcher: Watcher | None = None
        self._nonce: int | None = None
        self._gas_price: int | None = None

    @property
    def address(self) -> str:
        """The account's address."""
        return self.account.address

    @property
    def under_way(self) -> int:
        """Transactions that were sent and are not settled."""
        with self._lock:
            return len(self._flights)

    def attach(self, outbox: Outbox) -> None:
        """Record transactions in `outbox` from now on; what it holds from before is taken up at the first use.

        Raises:
            ConfigError: transactions are under way, recorded elsewhere.
        """
        with self._lock:
            if self._flights:
                raise ConfigError(
                    f"account {self.address} has transactions under way; give it an outbox before it sends"
                )
            self._outbox, self._watcher, self._nonce = outbox, None, None

    def transfer(self, address: str, wei: int) -> Receipt:
        """Send ether to an account without code.

        Raises:
            ChainError: not enough balance, or not mined in time.
        """
        return self.transact(Call(f"transfer of {wei} wei to {address}", address, b"", wei), TRANSFER_GAS)

    def transact(self, call: Call, gas: int | None = None, decoder: EventDecoder | None = None) -> Receipt:
        """Send a transaction and wait until it is mined. A call like it that nobody waits for is taken up instead.

        Args:
            call: what to do.
            gas: limit, an upper bound; None lets the node estimate it (see `fedchain.chain.gas`).
            decoder: for the receipt's events.

        Raises:
            TransactionError: it reverted, or would have (then no transaction was sent); `reason` is the contract's
                typed error with its arguments.
            NonceTakenError: another process that uses the key sent a transaction in its place; it was not done.
            ChainUnreachableError: the node does not answer; whether the transaction was mined is unknown. Asking for
                the same call again finds out.
            ChainError: the node refused it, it was not mined in time, or the account was being replaced for too long.
        """
        with self._turnstile.passing(
            _ROTATION_SECONDS, lambda: self.on_wait(ROTATION, "the account's next key", _ROTATION_SECONDS)
        ):
            return self._transact(call, gas, decoder)

    @contextmanager
    def alone(self) -> Iterator[Sender]:
        """Keep others from sending: what is under way is waited for, and whoever comes waits.

        Yields:
            A sender of the same account and outbox, for what is to be done meanwhile.

        Raises:
            ChainError: what an earlier caller gave up on is not done.
        """
        with self._turnstile.closed():
            self.resume()
            try:
                inside = Sender(self.client, self.account, outbox=self._outbox, stuck_seconds=self._stuck_seconds)
                inside.on_wait = self.on_wait
                yield inside
            finally:
                with self._lock:
                    self._watcher = self._nonce = None

    def become(self, account: Account, outbox: Outbox) -> None:
        """Send with another account from now on; only within `alone`."""
        with self._lock:
            self.account, self._outbox = account, outbox
            self._watcher = self._nonce = self._gas_price = None

    @property
    def has_pending(self) -> bool:
        """Whether the outbox holds transactions of which it is not known whether they are mined."""
        return bool(self._outbox.pending())

    def _transact(self, call: Call, gas: int | None, decoder: EventDecoder | None) -> Receipt:
        flight = self._take_up(call)
        if flight is None:
            limit = self._estimate(call) if gas is None else gas
            flight = self._launch(call, limit)
        try:
            with self.on_wait(MINING, f"receipt of {call.what}", self._timeout_seconds):
                transaction, receipt = self._opened().wait(flight)
        except NonceTakenError:
            self._land(flight)
            raise
        except BaseException:
            flight.is_watched = False
            raise
        self._settle(flight)
        return self._read(transaction, call, receipt, decoder)

    def resume(self) -> list[tuple[str, Receipt | ChainError]]:
        """Send again what an earlier process recorded and nobody has seen mined, and wait for it.

        A node does this before it reads where its jobs stand: what it was doing when it stopped is then done.

        Returns:
            What each was, with its receipt (without events), or why it was not done: reverted, or its nonce taken.

        Raises:
            ChainUnreachableError: the node does not answer.
            WrongChainError: it is another chain's outbox.
            ChainError: one was not mined in time.
        """
        with self._lock:
            watcher = self._opened()
            left = [flight for nonce, flight in sorted(self._flights.items()) if not flight.is_watched]
        found: list[tuple[str, Receipt | ChainError]] = []
        for flight in left:
            try:
                with self.on_wait(MINING, f"receipt of {flight.call.what}", self._timeout_seconds):
                    transaction, receipt = watcher.wait(flight)
                self._settle(flight)
                found.append((flight.call.what, self._read(transaction, flight.call, receipt, None)))
            except NonceTakenError as error:
                self._land(flight)
                found.append((flight.call.what, error))
            except TransactionError as error:
                found.append((flight.call.what, error))
        return found

    def has_lost_some(self) -> bool:
        """Whether the chain has taken back transactions that it had mined; `reconcile` sends them again.

        Raises:
            ChainUnreachableError: the node does not answer.
        """
        lost = self._opened().taken_back(self.client.mined_nonce(self.address))
        return bool(lost) and min(lost) >= self.client.mined_nonce(self.address)  # one was perhaps mined in between

    def reconcile(self) -> bool:
        """Send again what the chain should have and has not, after a reorganisation that took blocks away.

        Returns:
            Whether all that had been mined is mined; else it is to be called again soon.

        Raises:
            ChainUnreachableError: the node does not answer.
            WrongChainError: the chain was reset.
        """
        watcher = self._opened()
        return not watcher.taken_back(watcher.reconcile())

    # -- before the send --------------------------------------------------------------------------------------------

    def _opened(self) -> Watcher:
        """The watcher; on first use, what the outbox holds becomes flights, and is sent again if it is not mined."""
        with self._lock:
            if self._watcher is None:
                watcher = Watcher(
                    self.client,
                    self.account,
                    self._outbox,
                    self.client.genesis_hash(),
                    timeout_seconds=self._timeout_seconds,
                    stuck_seconds=self._stuck_seconds,
                )
                for one in self._outbox.pending():
                    self._flights.setdefault(one.nonce, Flight(one.call())).sent.append(one)
                if self._outbox.next_nonce():
                    watcher.reconcile()
                self._watcher = watcher
            return self._watcher

    def _take_up(self, call: Call) -> Flight | None:
        """A flight of the same call that nobody waits for; it is sent again if need be."""
        with self._lock:
            watcher = self._opened()
            for nonce in sorted(self._flights):
                flight = self._flights[nonce]
                if not flight.is_watched and flight.call.is_same(call):
                    flight.is_watched = True
                    break
            else:
                return None
        try:
            watcher.reconcile()
        except BaseException:
            flight.is_watched = False
            raise
        return flight

    def _estimate(self, call: Call) -> int:
        fields: dict[str, object] = {"from": self.address, "data": "0x" + call.data.hex(), "value": hex(call.value)}
        if call.to is not None:
            fields["to"] = call.to
        try:
            estimate = self.client.estimate(fields)
        except RpcError as error:
            raise self._error(call, error) from error
        return with_margin(estimate, floor_gas(call.data, creates=call.to is None))

    # -- the send ---------------------------------------------------------------------------------------------------

    def _launch(self, call: Call, gas: int) -> Flight:
        with self._lock:
            for attempt in range(1, _ATTEMPTS + 1):
                if self._nonce is None:
                    self._nonce = max(self.client.nonce(self.address), self._outbox.next_nonce())
                if self._gas_price is None:
                    self._gas_price = self.client.fair_price()  # stays 0 on free gas
                transaction = sign(
                    self.account, self.client.chain_id, call, nonce=self._nonce, gas=gas, gas_price=self._gas_price
                )
                self._outbox.put(transaction)
                try:
                    self.client.send_raw(transaction.raw)
                except RpcError as error:
                    if not self._is_in(error, transaction):
                        self._outbox.withdraw(transaction)
                        self._nonce = self._gas_price = None
                        if attempt == _ATTEMPTS or not (is_known(error) or is_nonce(error) or is_price(error)):
                            raise self._error(call, error) from error
                        continue
                except BaseException:  # it may have arrived: whoever asks for the same again takes it up
                    self._enter(Flight(call, [transaction]))
                    raise
                return self._enter(Flight(call, [transaction], is_watched=True))
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _enter(self, flight: Flight) -> Flight:
        self._flights[flight.nonce] = flight
        self._nonce = flight.nonce + 1
        return flight

    def _is_in(self, error: RpcError, transaction: Signed) -> bool:
        """Whether the node refused the transaction because it had just taken it, over a connection that then broke.

        Only then: another sender of the same account may have sent the same call with the same nonce, which makes the
        same bytes, and ours is still to be sent.
        """
        if not error.is_repeated:
            return False
        if is_known(error):
            return True
        for _ in range(_REPEATED_TRIES if is_nonce(error) else 1):  # mined already, but perhaps not yet to be read
            if self.client.is_known(transaction.tx_hash):
                return True
            time.sleep(_REPEATED_PAUSE_SECONDS)
        return False

    def _error(self, call: Call, error: RpcError) -> ChainError:
        data = revert_data(error)
        if data is not None:
            return TransactionError(call.what, describe_revert(data))
        if is_poor(error):
            return ChainError(
                f"{call.what}: account {self.address} has too little ether for value and gas on this chain "
                f"(balance {self.client.balance(self.address)} wei); fund it first"
            )
        return ChainError(f"{call.what}: {error}")

    # -- after it ---------------------------------------------------------------------------------------------------

    def _settle(self, flight: Flight) -> None:
        self._outbox.settle(flight.nonce)
        self._land(flight)

    def _land(self, flight: Flight) -> None:
        with self._lock:
            self._flights.pop(flight.nonce, None)

    def _read(self, transaction: Signed, call: Call, receipt: dict[str, Any], decoder: EventDecoder | None) -> Receipt:
        block_number, gas_used = int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16)
        if int(receipt["status"], 16) != 1:
            reason = why_failed(self.client, self.address, call, transaction.gas, receipt)
            raise TransactionError(call.what, reason)
        events = decoder.decode(receipt["logs"]) if decoder is not None else ()
        return Receipt(transaction.tx_hash, block_number, gas_used, events, receipt.get("contractAddress"))
