"""A throw-away PostgreSQL server, where the machine has one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "throw/away p@ss"
QUOTED = "throw%2Faway%20p%40ss"


def programs() -> Path | None:
    """The folder of `initdb` and `pg_ctl`, the newest version's, or None."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return next((one for one in folders if (one / "initdb").exists() and (one / "pg_ctl").exists()), None)


@contextmanager
def server(bin_folder: Path) -> Iterator[str]:
    """A running server's URL, with a password; it listens on a unix socket only. It refuses to run as root."""
    user = _unprivileged()
    with tempfile.TemporaryDirectory(prefix="pg", dir="/tmp") as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD + "\n")
        if user is not None:
            entry = pwd.getpwnam(user)
            for path in (folder, folder / "password"):
                os.chown(path, entry.pw_uid, entry.pw_gid)

        def run(program: str, *arguments: str) -> None:
            done = subprocess.run(
                [str(bin_folder / program), "-D", str(folder / "data"), *arguments],
                user=user,
                cwd=folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
                stdout=subprocess.DEVNULL,  # a pipe would stay open in the server
                stderr=subprocess.DEVNULL,
                timeout=120,
            )
            assert done.returncode == 0, program

        run("initdb", "-U", "owner", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "-E", "UTF8", "-N")
        options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql+psycopg://owner:{QUOTED}@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")


def _unprivileged() -> str | None:
    """A user to change to; None where this process is not root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
