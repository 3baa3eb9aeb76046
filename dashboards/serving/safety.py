"""Who may look at a dashboard: for the server of Flask behind it.

Reading only: no request changes anything. What a page may load and whom it may talk to is `app.py`'s.
"""

import hmac
import ipaddress
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from flask import Flask, Response, redirect, request

TOKEN: Final = "token"
"""Name of the token in the address of the first visit."""

_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})

_HEADERS: Final = {
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether an address is of this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def protect(server: Flask, *, token: str | None, local_only: bool) -> None:
    """Make a server refuse what it should not answer, and keep pages of others from its answers.

    Args:
        server: answers the requests.
        token: every request must show; none where everybody who reaches the server may look.
        local_only: answer only requests to a name of this machine, so that no page from elsewhere can pass off a name
            of its own for it.
    """
    cookie = "" if token is None else _cookie_name(token)

    @server.before_request
    def check() -> Response | None:
        if local_only and not _is_local(request.host):
            return _refused(
                403,
                "This dashboard answers to 127.0.0.1 and localhost only; to serve it under another name, start it with "
                "--token.",
            )
        if request.method not in ("GET", "HEAD"):
            return _refused(405, "A dashboard is read only.")
        if token is None:
            return None
        given = request.args.get(TOKEN)
        if given is not None and _are_equal(given, token):
            return _let_in(cookie, token)
        if given is None and _are_equal(request.cookies.get(cookie, ""), _cookie_value(token)):
            return None
        return _refused(401, "This dashboard needs its token: open the address that `nas dashboard` printed.")

    @server.after_request
    def describe(response: Response) -> Response:
        response.headers.update(_HEADERS)
        return response


def _is_local(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    return name in _LOCAL_NAMES


def _let_in(cookie: str, token: str) -> Response:
    """Keep the token in the browser and out of the address, from where it would get into histories and links."""
    kept = {name: values for name, values in request.args.to_dict(flat=False).items() if name != TOKEN}
    query = urlencode(kept, doseq=True)
    # A path that begins with two slashes would be the address of another machine.
    response = redirect(f"/{quote(request.path.lstrip('/'))}{'?' if query else ''}{query}", code=303)
    response.set_cookie(cookie, _cookie_value(token), httponly=True, samesite="Strict")
    assert isinstance(response, Response)
    return response


def _cookie_name(token: str) -> str:
    # Cookies do not tell ports apart: two dashboards of one machine need two.
    return f"hybridnas-{sha256(token.encode()).hexdigest()[:8]}"


def _cookie_value(token: str) -> str:
    return hmac.new(token.encode(), b"hybridnas dashboard", sha256).hexdigest()


def _are_equal(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _refused(status: int, words: str) -> Response:
    return Response(f"{words}\n", status=status, mimetype="text/plain")
