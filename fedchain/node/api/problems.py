"""Errors as documents: RFC 9457, `application/problem+json`, with a typed error's one line as `detail`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from fedchain.errors import (
    ChainError,
    ChainUnreachableError,
    CheckpointError,
    ConfigError,
    DataError,
    DeadlineError,
    FedchainError,
    JobAbortedError,
    NotAccreditedError,
    PeerError,
    QuotaExceededError,
    StoppingError,
    TableInUseError,
    TransactionError,
    UnknownJobError,
    UnknownModelError,
    UplinkRejectedError,
)
from fedchain.node.tokens import ApiRole

MEDIA_TYPE = "application/problem+json"

STATUS_OF: dict[type[FedchainError], int] = {
    UnknownJobError: 404,
    UnknownModelError: 404,
    CheckpointError: 409,
    ConfigError: 422,
    TableInUseError: 409,
    DataError: 422,
    NotAccreditedError: 409,
    TransactionError: 409,
    QuotaExceededError: 429,
    ChainUnreachableError: 503,
    ChainError: 502,
    PeerError: 502,
    UplinkRejectedError: 409,
    JobAbortedError: 409,
    DeadlineError: 504,
    StoppingError: 503,
    FedchainError: 500,
}
"""Of an error; one that is not listed has the status of the class it derives from."""

_FOR_THE_DATA_OWNER = "what is wrong with the table is for its data owner to read; it may name values"
_MAX_DETAIL = 1500


class Problem(Exception):
    """A refusal that is HTTP's alone.

    Args:
        status: of the answer.
        kind: a few words with hyphens; they end the problem's type.
        detail: one line: what is wrong, and what to do.
        headers: others of the answer.
        extra: members of the document beside those of RFC 9457.
    """

    def __init__(
        self, status: int, kind: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers, self.extra = dict(headers or {}), extra

    def document(self, request_id: str) -> bytes:
        """The answer's body."""
        return json.dumps(
            {
                "type": f"urn:fedchain:problem:{self.kind}",
                "title": self.kind.replace("-", " "),
                "status": self.status,
                "detail": self.detail[:_MAX_DETAIL],
                "instance": f"urn:fedchain:request:{request_id}",
                **self.extra,
            }
        ).encode()


def problem_of(error: FedchainError, role: ApiRole | None) -> Problem:
    """A typed error as a problem; what may name values of the table is for the data owner alone.

    Args:
        error: whatever the node raised.
        role: of whoever asked.
    """
    status = next(STATUS_OF[one] for one in type(error).__mro__ if one in STATUS_OF)
    detail = " ".join(str(error).split())
    if isinstance(error, DataError) and not isinstance(error, TableInUseError) and role is not ApiRole.DATA_OWNER:
        detail = _FOR_THE_DATA_OWNER
    headers = {"Retry-After": "5"} if status == 503 else {}
    return Problem(status, kind_of(type(error)), detail, headers=headers)


def kind_of(error: type[FedchainError]) -> str:
    """`ChainUnreachableError` → `chain-unreachable`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", error.__name__.removesuffix("Error")).lower()


def job_error(text: str, role: ApiRole) -> str:
    """What a failed job's record says, as this role may read it: a table's error may name values."""
    if text.startswith("DataError:") and role is not ApiRole.DATA_OWNER:
        return f"DataError: {_FOR_THE_DATA_OWNER}"
    return text
