"""`nas dashboard`: the pictures of a run, live."""

from typing import Annotated

import typer

from nas.cli.options import RunDir


def dashboard(
    directory: RunDir,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port on 127.0.0.1.")] = 8050,
) -> None:
    """Serve the pictures of a run on this machine, following it while it is written."""
    import logging

    from dashboards.app import create_app
    from dashboards.studies import Study
    from nas.run import Run

    run = Run(directory)

    def revision() -> tuple[int, int, bool]:
        found = run.directory.journal.stat()
        return found.st_mtime_ns, found.st_size, run.directory.lock.is_held

    _check_port(port)
    study = Study(name=run.config.name, load=lambda: Run(directory).results(), revision=revision)
    app = create_app([study], title=run.config.name)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a page that follows a run asks every two seconds
    typer.echo(f"Dashboard of {directory}: http://127.0.0.1:{port} (stop with Ctrl-C)", err=True)
    app.run(host="127.0.0.1", port=port, debug=False)


def _check_port(port: int) -> None:
    import socket

    from nas.errors import ResourceError

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ResourceError(
                f"Port {port} cannot be used ({error.strerror}). Choose another with --port."
            ) from error
