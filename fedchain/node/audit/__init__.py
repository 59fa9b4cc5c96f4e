"""The story of a job, rebuilt from the chain alone, and a verdict on every party of it."""

from fedchain.node.audit.auditing import audit_job
from fedchain.node.audit.report import AuditReport, PartyVerdict
from fedchain.node.audit.stores import StateFolder

__all__ = ["AuditReport", "PartyVerdict", "StateFolder", "audit_job"]
