"""All routes of the API, one module per noun."""

from fedchain.node.api.endpoint import Endpoint, Endpoints
from fedchain.node.api.routes import (
    anomalies,
    audit,
    contributions,
    data,
    document,
    health,
    jobs,
    model,
    models,
    node,
    participants,
    predictions,
    progress,
    report,
    requests,
    session,
    tokens,
)

_ALL: tuple[Endpoint, ...] = (
    *health.ENDPOINTS,
    *document.ENDPOINTS,
    *session.ENDPOINTS,
    *node.ENDPOINTS,
    *participants.ENDPOINTS,
    *jobs.ENDPOINTS,
    *progress.ENDPOINTS,
    *report.ENDPOINTS,
    *contributions.ENDPOINTS,
    *audit.ENDPOINTS,
    *anomalies.ENDPOINTS,
    *model.ENDPOINTS,
    *requests.ENDPOINTS,
    *predictions.ENDPOINTS,
    *models.ENDPOINTS,
    *data.ENDPOINTS,
    *tokens.ENDPOINTS,
)
ENDPOINTS = Endpoints(_ALL)
