"""`nas submit`: run a search as a job of a Ray cluster, so that this machine may be switched off.

Sends the configuration and nothing else. What the search leaves is in the run directory, on storage the cluster has.
"""

import logging
import os
import shlex
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from nas.cli.options import Overrides

if TYPE_CHECKING:
    from nas.config import SearchConfig

_POLL_S: Final = 1.0
_OVERRIDING: Final = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Variables that Ray would take instead of the address it is given."""


def submit(
    config: Annotated[
        str,
        typer.Argument(metavar="CONFIG", help="Configuration file, or the name of one that ships.", show_default=False),
    ],
    run_dir: Annotated[
        Path,
        typer.Option(
            "--run-dir", metavar="DIR", help="Absolute path of the run on storage that the cluster's head has."
        ),
    ],
    address: Annotated[str, typer.Option("--address", metavar="URL", help="The head's dashboard: http://HEAD:8265.")],
    overrides: Overrides = None,
    wait: Annotated[bool, typer.Option("--wait", help="Show the job's words and end when it does.")] = False,
    job_id: Annotated[
        str | None, typer.Option("--job-id", metavar="ID", help="Name of the job; Ray makes one otherwise.")
    ] = None,
) -> None:
    """Start a search on a Ray cluster, or go on with the one in DIR."""
    from nas.config import load_config

    loaded = load_config(config, overrides=tuple(overrides or ()))
    _check(loaded, run_dir=run_dir, address=address)
    words = ["nas", "search", "config.yaml", "--run-dir", str(run_dir), "--resume", "--address", "auto"]
    with _client(address) as client, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.yaml").write_text(loaded.resolved().to_yaml(), encoding="utf-8")
        submitted = client.submit_job(
            entrypoint=shlex.join(words),
            submission_id=job_id,
            runtime_env={"working_dir": folder},
            metadata={"search": loaded.name, "run_dir": str(run_dir)},
        )
        typer.echo(submitted)
        typer.echo(
            f"Follow it with: ray job logs -f {submitted} --address {address}\n"
            f"Where {run_dir} can be read: nas status {run_dir}\n"
            "The same command again goes on where the search ended.",
            err=True,
        )
        if wait:
            _wait(client, submitted)


def _check(config: "SearchConfig", *, run_dir: Path, address: str) -> None:
    """Check what only a submission needs: nothing of it may be meant relative to this folder."""
    from nas.errors import ConfigError, UsageError
    from search_spaces.references import reference_names

    if not address.startswith(("http://", "https://")):
        raise UsageError(f"A job goes to the dashboard of a cluster's head, http://HEAD:8265; got {address!r}.")
    if not run_dir.is_absolute():
        raise UsageError(f"--run-dir must be an absolute path on storage that the cluster has; got {run_dir}.")
    if config.resources.executor != "ray":
        raise ConfigError(
            f"A submitted search evaluates on the cluster; got resources.executor: {config.resources.executor}. "
            "Set it to ray."
        )
    files = [("proxy.corpus", config.proxy.corpus.removeprefix("file:"))] if "file:" in config.proxy.corpus else []
    files += [] if config.latency.table is None else [("latency.table", config.latency.table)]
    files += [("seeds", name) for name in config.seeds if name not in reference_names()]
    for name, path in files:
        if not Path(path).is_absolute():
            raise ConfigError(
                f"Files are read on the cluster, so {name} must be an absolute path there; got {path!r}. "
                "Only the configuration is sent."
            )


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """Give a client of the cluster's jobs; what goes wrong there becomes an error of ours.

    Raises:
        ResourceError: nothing answers at the address, or it refuses the job.
    """
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    from nas.errors import ResourceError
    from search_spaces.errors import NasError

    logging.getLogger("ray").setLevel(logging.WARNING)  # what it uploads and finds uploaded
    hidden = {name: os.environ.pop(name) for name in _OVERRIDING if name in os.environ}
    try:
        yield JobSubmissionClient(address)
    except NasError:
        raise
    except AuthenticationError as error:
        raise ResourceError(
            f"The cluster at {address} refuses this user ({_first_line(error)}). "
            "Give its token in RAY_AUTH_TOKEN, with RAY_AUTH_MODE=token."
        ) from error
    except ConnectionError as error:
        raise ResourceError(
            f"No Ray dashboard answers at {address} ({_first_line(error)}). Check host and port (8265 unless changed), "
            "and that the head was started with its dashboard."
        ) from error
    except RuntimeError as error:
        raise ResourceError(f"The cluster at {address} did not take the job: {_last_line(error)}") from error
    finally:
        os.environ.update(hidden)


def _wait(client: Any, job_id: str) -> None:
    """Show what a job says until it ends.

    Raises:
        SearchFailedError: it ended otherwise than well.
    """
    from nas.errors import SearchFailedError

    num_shown = 0
    while True:
        has_ended = client.get_job_status(job_id).is_terminal()
        words = client.get_job_logs(job_id)
        typer.echo(words[num_shown:], nl=False, err=True)
        num_shown = len(words)
        if has_ended:
            break
        time.sleep(_POLL_S)
    info = client.get_job_info(job_id)
    if info.status != "SUCCEEDED":
        raise SearchFailedError(
            f"The job {job_id} ended as {info.status}: {_first_line(info.message)} "
            "Nothing that finished is lost; submit it again to go on."
        )


def _last_line(words: object) -> str:
    """Return what a traceback of the dashboard comes to."""
    lines = [line for line in str(words).splitlines() if line.strip(" '\".")]
    return lines[-1].strip() if lines else "no words"


def _first_line(words: object) -> str:
    return next(iter(str(words).strip().splitlines()), "no words")
