"""A job's terms: the spec says how often a finished model may be asked, the chain counts by it."""

from __future__ import annotations

import structlog

from fedchain.chain import Consortium, Terms
from fedchain.errors import TermsError
from fedchain.federation.spec import JobSpec
from fedchain.types import JobId

log = structlog.get_logger(__name__)


def terms_of(spec: JobSpec) -> Terms:
    """The terms that a spec names."""
    return Terms(spec.inference.quota, spec.inference.window_seconds)


def require_terms(consortium: Consortium, job_id: JobId, spec: JobSpec) -> Terms:
    """Check that the chain counts by what this party agreed to; before it reserves, asks or answers anything.

    Args:
        consortium: the contracts.
        job_id: the job.
        spec: which this party accepted.

    Returns:
        The terms.

    Raises:
        TermsError: the chain has other terms, or none; names the active party, which alone sets them.
        ChainUnreachableError: the chain does not answer.
    """
    found, expected = consortium.inference.terms(job_id), terms_of(spec)
    if found is None:
        raise TermsError(spec.names[0], f"set no terms for inference of job '{spec.name}': nothing can be asked of it")
    if found != expected:
        raise TermsError(
            spec.names[0],
            f"set other terms for inference than job '{spec.name}' names: {_words(found)}, expected {_words(expected)}",
        )
    return found


def check_terms(consortium: Consortium, job_id: JobId, spec: JobSpec) -> None:
    """Whether the active party set the terms that the spec names, before it accepted.

    Raises:
        TermsError: it set others. None at all stop no training: then nothing can be asked of the model by id.
        ChainUnreachableError: the chain does not answer.
    """
    if consortium.inference.terms(job_id) is None:
        log.warning("no terms for inference on chain", job=job_id, active=spec.names[0])
    else:
        require_terms(consortium, job_id, spec)


def _words(terms: Terms) -> str:
    return f"{terms.quota} rows in {terms.window_seconds} s, {terms.answer_seconds} s for an answer"
