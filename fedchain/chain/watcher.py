"""Follows sent transactions until one is mined: sends again what a node dropped, outbids what is stuck."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

from fedchain.chain.account import Account
from fedchain.chain.client import LATEST, ChainClient
from fedchain.chain.outbox import Outbox
from fedchain.chain.refusals import is_known, is_price, is_rejection
from fedchain.chain.rpc import RpcError
from fedchain.chain.transaction import Call, Signed, sign
from fedchain.errors import ChainError, NonceTakenError, WrongChainError

_FIRST_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.1
_STUCK_BLOCKS = 3
_RECEIPT_TRIES = 10
_RECEIPT_PAUSE_SECONDS = 0.1
_TURN_SECONDS = 60.0


@dataclass
class Flight:
    """A call under way: all transactions that were sent for it, each with the same nonce, the last the dearest.

    Attributes:
        is_watched: whether a thread waits for it; one that nobody waits for is adopted by who wants the same call.
        head: the chain's when the last was sent.
    """

    call: Call
    sent: list[Signed] = field(default_factory=list)
    is_watched: bool = False
    head: int | None = None

    @property
    def nonce(self) -> int:
        """The nonce of all."""
        return self.sent[0].nonce

    @property
    def last(self) -> Signed:
        """The one sent last, the dearest."""
        return self.sent[-1]


class Watcher:
    """Waits for flights of one account. Safe to use from several threads, for a flight each.

    Args:
        client: the chain.
        account: signs replacements.
        outbox: where they are recorded first.
        genesis_hash: of the chain that the outbox belongs to; what it holds is never sent to another.
        timeout_seconds: how long to wait for one flight.
        stuck_seconds: a flight that is not mined for so long is looked after, again and again.
    """

    def __init__(
        self,
        client: ChainClient,
        account: Account,
        outbox: Outbox,
        genesis_hash: bytes,
        *,
        timeout_seconds: float,
        stuck_seconds: float,
    ) -> None:
        self._client = client
        self._account = account
        self._outbox = outbox
        self._genesis_hash = genesis_hash
        self._timeout_seconds = timeout_seconds
        self._stuck_seconds = stuck_seconds
        self._held: dict[int, float] = {}

    def wait(self, flight: Flight) -> tuple[Signed, dict[str, Any]]:
        """Wait until one of a flight's transactions is mined; returns it and its JSON-RPC receipt.

        Raises:
            NonceTakenError: another transaction was mined in their place: the call has not been done, nor will it be.
            ChainUnreachableError: the node does not answer.
            WrongChainError: the chain was reset meanwhile.
            ChainError: none was mined in time; they stay recorded.
        """
        start = looked = time.monotonic()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            found = self.mined(flight)
            if found is not None:
                return found
            now = time.monotonic()
            if now - looked > self._stuck_seconds:
                looked = now
                self._look_after(flight)
            if now - start > self._timeout_seconds:
                raise self._timed_out(flight)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def mined(self, flight: Flight) -> tuple[Signed, dict[str, Any]] | None:
        """The one of a flight's transactions that is mined, with its receipt; None as long as none is."""
        for one in reversed(flight.sent):
            try:
                receipt = self._client.receipt(one.tx_hash)
            except RpcError:  # Ganache trips over a receipt whose block it is still writing
                continue
            if receipt is not None:
                return one, receipt
        return None

    def reconcile(self) -> int:
        """Send again what is recorded and not mined, byte for byte and in the order of the nonces.

        Among them may be some that it had mined, and that went with their blocks in a reorganisation: they are noticed
        by the account's number of transactions, which is below what is recorded. They did their work among others'
        transactions, which may be gone as well. So each waits until it would do its work again, and those behind it
        wait, too; but not for ever, for an account's later transactions need its number.

        Returns:
            The number of the account's mined transactions, the nonce of its next one.

        Raises:
            WrongChainError: the chain was reset; nothing is sent to the new one.
        """
        mined = self._client.mined_nonce(self._account.address)
        waiting = {one.nonce: one for one in self._outbox.recorded(mined)}  # the last of a nonce is the dearest
        if waiting:
            found = self._client.genesis_hash()
            if found != self._genesis_hash:
                raise WrongChainError(f"genesis block at {self._client.rpc_url}", self._genesis_hash.hex(), found.hex())
        taken_back = self.taken_back(mined)
        for nonce in sorted(waiting):
            if nonce in taken_back and not self._is_its_turn(waiting[nonce]):
                break
            self._send_again(waiting[nonce])
        return mined

    def taken_back(self, mined: int) -> set[int]:
        """Nonces of transactions that were mined and are not any more, given the number of those that are."""
        pending = {one.nonce for one in self._outbox.pending()}
        found = {one.nonce for one in self._outbox.recorded(mined)} - pending
        self._held = {nonce: since for nonce, since in self._held.items() if nonce in found}
        return found

    def _is_its_turn(self, transaction: Signed) -> bool:
        """Whether a transaction that was taken back would do its work now, or has waited for that long enough."""
        since = self._held.setdefault(transaction.nonce, time.monotonic())
        if time.monotonic() - since > _TURN_SECONDS:
            return True
        call = transaction.call()
        fields: dict[str, object] = {
            "from": self._account.address,
            "data": "0x" + call.data.hex(),
            "value": hex(call.value),
        }
        try:
            returned = self._client.call(fields if call.to is None else fields | {"to": call.to}, LATEST)
        except RpcError:
            return False
        return not is_rejection(call.what, returned)

    def _look_after(self, flight: Flight) -> None:
        """A flight takes long: find out why, and do something about it."""
        mined = self.reconcile()
        if mined > flight.nonce:
            self._must_be_ours(flight)
        elif mined == flight.nonce and self._is_stuck_for_price(flight):
            self._replace(flight)

    def _must_be_ours(self, flight: Flight) -> None:
        """The nonce is used up; a node may know that before it has the receipt."""
        for _ in range(_RECEIPT_TRIES):
            if self.mined(flight) is not None:
                return
            time.sleep(_RECEIPT_PAUSE_SECONDS)
        if self._client.mined_nonce(self._account.address) <= flight.nonce:
            return  # a reorganisation took it back
        for one in flight.sent:
            self._outbox.withdraw(one)
        raise NonceTakenError(
            f"{flight.call.what}: another transaction of account {self._account.address} was mined as its number "
            f"{flight.nonce}, so this one was not and never will be; let one process use the key at a time, and do it "
            "again"
        )

    def _is_stuck_for_price(self, flight: Flight) -> bool:
        """Blocks are made without it although its turn has come; or the price has risen above what it offers."""
        head = self._client.head()
        if flight.head is None:
            flight.head = head
        price = self._client.gas_price()
        return flight.last.gas_price < price or (price > 0 and head - flight.head >= _STUCK_BLOCKS)

    def _replace(self, flight: Flight) -> None:
        """The same call with the same nonce at a price at least an eighth higher: at most one of the two is mined."""
        last = flight.last
        price = max(last.gas_price + -(-last.gas_price // 8) + 1, self._client.fair_price())
        chain_id = self._client.chain_id
        dearer = sign(self._account, chain_id, flight.call, nonce=last.nonce, gas=last.gas, gas_price=price)
        self._outbox.put(dearer)
        try:
            self._client.send_raw(dearer.raw)
        except RpcError as error:
            if not (is_price(error) or is_known(error)):  # cannot pay so much, or the earlier is mined this moment
                self._outbox.withdraw(dearer)
                return
        flight.sent.append(dearer)  # also where more is asked for: the next is dearer still
        flight.head = self._client.head()

    def _send_again(self, transaction: Signed) -> None:
        with contextlib.suppress(RpcError):  # the node has it still, or mined it this moment: the next look will tell
            self._client.send_raw(transaction.raw)

    def _timed_out(self, flight: Flight) -> ChainError:
        mined = self._client.mined_nonce(self._account.address)
        why = "check that the chain makes blocks and that its block gas limit is not below the transaction's"
        if mined < flight.nonce:
            why = f"its number {flight.nonce} waits for number {mined} of account {self._account.address}"
        return ChainError(
            f"{flight.call.what}: transaction 0x{flight.last.tx_hash.hex()} was not mined within "
            f"{self._timeout_seconds:.0f} s; {why}. It stays recorded, and is taken up when the same is asked for again"
        )
