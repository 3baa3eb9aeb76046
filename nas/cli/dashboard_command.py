"""`nas dashboard`: the pictures of searches, live."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboards.serving.studies import Study
    from nas.results.live import Live

_ANY_TOKEN: Final = "auto"
_TOKEN_BYTES: Final = 24


def dashboard(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="DIR|STORAGE…",
            help="Run directories, or storages: a postgresql:// or sqlite:/// URL, or a journal file.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Where to listen; another than this machine needs --token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Where to listen.")] = 8050,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT|auto",
            envvar="HYBRIDNAS_DASHBOARD_TOKEN",
            help="What every visitor must show; auto makes one and prints it.",
        ),
    ] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Let everybody who reaches the address look.")] = False,
) -> None:
    """Serve the pictures of searches, following them while they are written. Only reads."""
    import logging

    from werkzeug.serving import make_server

    from dashboards.app import create_app
    from dashboards.serving.safety import is_loopback, protect

    given = _token(token, host=host, is_loopback=is_loopback(host), insecure=insecure)
    _check_port(host, port)
    studies = _studies(places)
    title = ", ".join(study.name for study in studies)
    app = create_app(studies, title=title)
    protect(app.server, token=given, local_only=is_loopback(host) and given is None and not insecure)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a page that follows a run asks every two seconds
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{port}" + ("" if given is None else f"/?token={given}")
    typer.echo(f"Dashboard of {title}: {address} (stop with Ctrl-C)", err=True)
    make_server(host, port, app.server, threaded=True).serve_forever()


def _token(token: str | None, *, host: str, is_loopback: bool, insecure: bool) -> str | None:
    import secrets

    from nas.errors import UsageError

    if token is not None and insecure:
        raise UsageError("--token and --insecure exclude each other; give one.")
    if token is not None and not token.strip():
        raise UsageError("A token has letters; got an empty one. Give --token auto to have one made.")
    if token is None and not insecure and not is_loopback:
        raise UsageError(
            f"Everybody who reaches {host} could look. Give --token auto, or --insecure if that is what you want."
        )
    return secrets.token_urlsafe(_TOKEN_BYTES) if token == _ANY_TOKEN else token


def _studies(places: "Sequence[str]") -> "list[Study]":
    """Return the studies of all places; what cannot be read is said, and ends this only where nothing else can.

    Raises:
        NasError: nothing can be read.
        OSError: nothing can be opened.
    """
    from dashboards.serving.studies import Study
    from nas.results.followed import distinct_names, followed
    from search_spaces.errors import NasError

    lives: list[Live] = []
    errors: list[NasError | OSError] = []
    for place in dict.fromkeys(places):
        try:
            found = followed(place)
            for live in found:
                live.results()
        except (NasError, OSError) as error:
            errors.append(error)
            if len(set(places)) > 1:
                typer.echo(f"error: {error}", err=True)
        else:
            lives += found
    if not lives:
        raise errors[0]
    names = distinct_names([live.name for live in lives], [live.where for live in lives])
    return [
        Study(name=name, load=live.results, revision=live.revision) for name, live in zip(names, lives, strict=True)
    ]


def _check_port(host: str, port: int) -> None:
    import socket

    from nas.errors import ResourceError

    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise ResourceError(
            f"{host} port {port} cannot be used ({error.strerror}). Choose another with --port or --host."
        ) from error
