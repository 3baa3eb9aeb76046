"""Join a Ray cluster, or start one on this machine, and leave it again.

What runs there is `ray_cluster.py` and `ray_device.py`.
"""

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any, Final

from nas.errors import ResourceError

_CONNECT_TIMEOUT_S: Final = 5.0
_LOCAL_OBJECT_STORE_BYTES: Final = 512 * 1024**2

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected to a cluster; executors inside share the connection.

    Raises:
        ResourceError: the address does not answer.
    """
    owns_connection = connect(address)
    try:
        yield
    finally:
        if owns_connection:
            disconnect()


def connect(address: str) -> bool:
    """Initialise Ray; return whether this call did (and so must disconnect).

    Raises:
        ResourceError: the address does not answer.
    """
    import ray

    if ray.is_initialized():
        return False
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "configure_logging": True}
    if address == "local":
        with _termination_handler_kept():
            ray.init(address="local", include_dashboard=False, object_store_memory=_LOCAL_OBJECT_STORE_BYTES, **quiet)
        return True
    check_address(address)
    try:
        with _termination_handler_kept():
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ResourceError(
            f"No Ray cluster answers at {address!r} ({str(error).splitlines()[0]}). "
            "Start one with `ray start --head`, or use --address local."
        ) from error
    return True


def disconnect() -> None:
    """Leave the cluster; one that was started here ends. Raises nothing: the cluster may be gone already."""
    import ray

    try:
        ray.shutdown()
    except Exception as error:  # whatever it is, it must not take the place of why the run ended
        _log.warning("Leaving the Ray cluster failed: %s: %s", type(error).__name__, error)


def check_address(address: str) -> None:
    """Check that a cluster can be expected at an address, without joining it.

    Raises:
        ResourceError: it is no address, or nothing answers there.
    """
    if address in ("local", "auto"):
        return
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        raise ResourceError(f"A Ray address is local, auto or HOST:PORT; got {address!r}.")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise ResourceError(
            f"The Ray address {address} does not answer ({error}). "
            "Check host and port (6379 unless changed), or use --address local."
        ) from error


@contextlib.contextmanager
def _termination_handler_kept() -> Iterator[None]:
    """Keep our own handler of SIGTERM, which ray.init replaces by ones that end the driver with Ray's own exit code.

    A SIGTERM that reached one of those meanwhile is handed to ours.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    was_terminated = False
    try:
        yield
    except SystemExit:
        was_terminated = True
    finally:
        signal.signal(signal.SIGTERM, handler)
    if was_terminated:
        signal.raise_signal(signal.SIGTERM)
        raise KeyboardInterrupt
