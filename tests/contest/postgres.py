"""A PostgreSQL of one's own, from the system's binaries, as an unprivileged user."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path


class NoPostgres(Exception):
    """There is none on this machine; says why."""


def binaries() -> Path:
    """The folder of initdb and postgres."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda bin: int(bin.parent.name))
    if found:
        return found[-1]
    path = shutil.which("initdb")
    if path is None:
        raise NoPostgres("PostgreSQL's binaries are not installed (apt-get install postgresql)")
    return Path(path).resolve().parent


class Postgres:
    """A server on a Unix socket in a temporary folder, started when made."""

    def __init__(self) -> None:
        self.bin = binaries()
        memory = "/dev/shm"  # noqa: S108 - a folder of our own is made in it
        self.folder = Path(
            tempfile.mkdtemp(prefix="fuxian-pg-", dir=memory if os.access(memory, os.W_OK) else None)
        )
        self.who = {}
        if os.geteuid() == 0:
            # PostgreSQL does not run as root.
            user = next((u for u in pwd.getpwall() if u.pw_name == "postgres"), None) or pwd.getpwnam(
                "nobody"
            )
            self.who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            shutil.chown(self.folder, user.pw_uid, user.pw_gid)
        # Peer authentication does not know our own name: trust, on a socket that nobody else reaches.
        self._run("initdb", "-D", self.data, "-U", "fuxian", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        self.process = None
        self.start()

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def url(self, database: str) -> str:
        return f"postgresql://fuxian@/{database}?host={self.folder}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            # Processes are killed here, not the machine: what the kernel holds is safe enough.
            [
                self.bin / "postgres",
                "-D",
                self.data,
                "-k",
                str(self.folder),
                "-c",
                "listen_addresses=",
                "-c",
                "fsync=off",
            ],
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
            **self.who,
        )
        for _ in range(300):
            with socket.socket(socket.AF_UNIX) as one:
                if one.connect_ex(str(self.folder / ".s.PGSQL.5432")) == 0 and self._answers():
                    return
            time.sleep(0.1)
        raise NoPostgres(f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-500:]}")

    def _answers(self) -> bool:
        return (
            subprocess.run(
                [self.bin / "pg_isready", "-q", "-h", str(self.folder)], check=False, **self.who
            ).returncode
            == 0
        )

    def kill(self) -> None:
        """As a power cut."""
        self._run("pg_ctl", "stop", "-D", self.data, "-m", "immediate")
        self.process.wait()

    def new(self, name: str) -> str:
        """The address of a new, empty database."""
        self._run("createdb", "-h", str(self.folder), "-U", "fuxian", name)
        return self.url(name)

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "-D", self.data, "-m", "immediate")
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.bin / program, *arguments], check=True, capture_output=True, cwd=self.folder, **self.who
        )
