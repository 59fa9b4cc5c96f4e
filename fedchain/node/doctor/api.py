"""Checks of the HTTP API: its certificate and key, and who may log in."""

from __future__ import annotations

import ssl
import stat
from datetime import datetime, timezone

from cryptography import x509

from fedchain.errors import ConfigError
from fedchain.node.config import NodeConfig
from fedchain.node.doctor.finding import Finding, fail, failed, ok, warn
from fedchain.node.sections import ApiSection, is_loopback
from fedchain.node.tokens import TokenFile

CHECK = "api"
_SOON_DAYS = 30


def check_api(config: NodeConfig) -> Finding:
    """What keeps the API from being served, or anybody from logging in; of several things the worst."""
    section = config.api
    try:
        live = sum(token.is_valid() for token in TokenFile(config.state.folder).all())
    except ConfigError as error:
        return failed(CHECK, error)
    place = f"{'https' if section.https else 'http'}, {section.host} port {section.port or 'any'}, {live} tokens"
    if section.https:
        finding = _check_certificate(section, place)
        if finding is not None:
            return finding
    elif not is_loopback(section.host):
        fix = "set [api] certificate and certificate_key in node.toml"
        return warn(CHECK, f"{place}: whoever is on the way reads tokens, scores and tables", fix)
    if not live:
        return warn(CHECK, f"{place}: nobody can log in", "make a token: fedchain node token create DIR --role viewer")
    return ok(CHECK, place)


def _check_certificate(section: ApiSection, place: str) -> Finding | None:
    certificate, key = section.certificate, section.certificate_key
    assert certificate is not None
    assert key is not None
    try:
        if stat.S_IMODE(key.stat().st_mode) & 0o077:
            return fail(CHECK, f"[api] certificate_key {key}: others may read it", f"chmod 600 {key}")
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        ends = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        fix = "give a PEM certificate (chain) and its unencrypted key"
        return fail(CHECK, f"[api] certificate {certificate} and certificate_key {key}: do not serve ({error})", fix)
    days = (ends - datetime.now(timezone.utc)).days
    if days < _SOON_DAYS:
        return warn(CHECK, f"{place}: its certificate has {days} days left", "renew it, and start the node anew")
    return None
