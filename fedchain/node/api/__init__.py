"""The HTTP API of a node, for its own people and their systems. docs/reference/api.md is its manual.

A request passes the `gate` (login, role, bounds, log) before any of it is parsed; `app` holds the routes, one module
per noun in `routes/`, and each route is an `Endpoint` that says who may call it.
"""
