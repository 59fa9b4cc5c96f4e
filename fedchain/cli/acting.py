"""The options of commands that send a transaction: which chain, which contracts, and whose key."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from fedchain.cli.options import (
    DEFAULT_DEPLOYMENT,
    DEFAULT_RPC,
    DeploymentFile,
    DevAccount,
    Keystore,
    PassphraseFile,
    Rpc,
    acting,
)
from fedchain.errors import NotAccreditedError, TransactionError

_STRANGERS = {"NotOnRoster": "no party of the job", "NotSteward": "no steward"}
"""What the contracts call an account that does not belong there."""

if TYPE_CHECKING:
    from fedchain.chain import Consortium


@dataclass(frozen=True)
class Acting:
    """What the options say.

    Attributes:
        rpc: HTTP address of a chain node.
        deployment: what `fedchain deploy` wrote.
        keystore, passphrase_file: of the account that sends and pays.
        dev_account: number of a development account instead.
    """

    rpc: Rpc = DEFAULT_RPC
    deployment: DeploymentFile = DEFAULT_DEPLOYMENT
    keystore: Keystore = None
    passphrase_file: PassphraseFile = None
    dev_account: DevAccount = None

    def opened(self) -> AbstractContextManager[Consortium]:
        """A consortium with that account as its sender."""
        return acting(self.rpc, self.deployment, self.keystore, self.passphrase_file, self.dev_account)


def sends(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command have the options of `Acting` in the place of its parameter `by`.

    Args:
        command: takes `by: Acting` as a keyword.
    """
    hints, options = get_type_hints(command, include_extras=True), _options()
    parameters: list[inspect.Parameter] = []
    for one in inspect.signature(command).parameters.values():
        own = options if one.name == "by" else [one.replace(annotation=hints[one.name])]
        parameters += [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]

    @wraps(command)
    def run(**values: Any) -> None:
        given = Acting(**{one.name: values.pop(one.name) for one in options})
        try:
            command(**values, by=given)
        except TransactionError as error:
            raise_for_strangers(error)
            raise

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def raise_for_strangers(error: TransactionError) -> None:
    """Say it in words where the account that the options name may not do that at all.

    Raises:
        NotAccreditedError: it may not.
    """
    name, _, rest = error.reason.partition("(")
    who = re.search(r"0x[0-9a-fA-F]{40}\b", rest)
    if name in _STRANGERS and who is not None:
        raise NotAccreditedError(f"account {who[0]} is {_STRANGERS[name]}; give its --keystore") from error


def _options() -> list[inspect.Parameter]:
    names = {"Path": Path}
    hints = get_type_hints(Acting, localns=names, include_extras=True)
    return [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=hints[one.name])
        for one in fields(Acting)
    ]
