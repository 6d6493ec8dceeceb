"""Whom a server answers: those with its token, and on a machine's own address no web page from elsewhere."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from neocog.app.serve.refusal import Refusal
from neocog.app.serve.settings import Settings

OPEN = frozenset({"/v2/health/live", "/v2/health/ready", "/health"})
"""What probes ask, which carry no token."""

PAGES = frozenset({"/try", "/try.js", "/try.css", "/openapi.json"})
"""What a browser opens before it has a token to send."""

_OWN = re.compile(rb"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?")


class Gate:
    """Refuses requests.

    Arguments:
        settings: the token that is needed, and whether this machine alone is served.
    """

    def __init__(self, settings: Settings) -> None:
        self._token = None if settings.token is None else settings.token.encode()
        self._loopback = settings.loopback

    def check(self, path: str, headers: Mapping[bytes, bytes]) -> None:
        """Return for a request that is to be answered.

        On the machine's own address, requests that name another host (DNS rebinding) are refused, and everywhere those
        that another web page sent: a browser would send them in its user's name.

        Raises:
            Refusal: it is not.
        """
        host = headers.get(b"host", b"")
        if self._loopback and not _OWN.fullmatch(host):
            raise Refusal(403, "this server answers to localhost alone", "start it with --host to be reached by others")
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2] != host:
            raise Refusal(403, "this server answers no other web page")
        if self._token is None or path in OPEN or path in PAGES:
            return
        word, _, given = headers.get(b"authorization", b"").partition(b" ")
        if word.lower() != b"bearer" or not secrets.compare_digest(given.strip(), self._token):
            told = ((b"www-authenticate", b"Bearer"),)
            raise Refusal(401, "the token is missing or wrong", "send it as Authorization: Bearer TOKEN", told)
