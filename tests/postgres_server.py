"""A PostgreSQL of the tests' own, from Debian's packages, in a scratch folder on a unix socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOME = Path("/usr/lib/postgresql")
SETTINGS = "-c listen_addresses='' -c fsync=off -c shared_buffers=16MB -c max_connections=60"


def newest() -> Path | None:
    """The folder with the programs of the newest PostgreSQL installed, or None."""
    found = [p for p in HOME.glob("*/bin") if (p / "initdb").is_file()]
    return max(found, key=lambda p: float(p.parent.name), default=None)


class Server:
    """One server; `new_database` gives the address of an empty database on it."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:  # it refuses to run as root
            command = ["runuser", "-u", "postgres", "--", *command]
        log = self.folder / "run.txt"
        with log.open("ab") as out:
            done = subprocess.run(command, stdout=out, stderr=out, cwd=self.folder, timeout=120)
        assert done.returncode == 0, log.read_text(errors="replace")[-3000:]

    def start(self) -> None:
        options = f"{SETTINGS} -k {self.folder}"
        log = str(self.folder / "log.txt")
        self.run("pg_ctl", "-D", str(self.data), "-l", log, "-w", "-o", options, "start")

    def stop(self, how: str = "fast") -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", "-m", how, "stop")

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def new_database(self) -> str:
        import psycopg

        name = f"t{uuid.uuid4().hex[:12]}"
        admin = f"host={self.folder} user=overread dbname=postgres"
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql://overread@/{name}?host={self.folder}"


@contextmanager
def running(programs: Path) -> Iterator[Server]:
    """A server that is stopped, and its folder removed, at the end."""
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    server = Server(programs, folder)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        options = ("-A", "trust", "-U", "overread", "-E", "UTF8", "--no-sync", "--locale=C")
        server.run("initdb", "-D", str(server.data), *options)
        server.start()
        yield server
    finally:
        if (server.data / "postmaster.pid").exists():
            server.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)
