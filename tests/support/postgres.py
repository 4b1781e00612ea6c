"""A PostgreSQL of our own for a while, where its programs are installed: no port, only a socket in a folder that is ours."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WAIT_S = 60


def programs() -> Path | None:
    """Where `initdb` and `pg_ctl` are; Debian keeps them off the path, by version."""
    on_path = shutil.which("pg_ctl")
    folders = [Path(on_path).parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if all((folder / name).exists() for name in ("initdb", "pg_ctl"))), None)


@contextmanager
def postgres(*, fsync: bool = False) -> Iterator[str]:
    """How to connect to it. It refuses to run as root, so root runs it as another user, who must reach the folder."""
    found = programs()
    if found is None:
        raise FileNotFoundError("PostgreSQL is not installed here (Debian: apt-get install postgresql)")
    with tempfile.TemporaryDirectory(prefix="eventyard-postgres-") as folder:
        user = _other_user() if os.geteuid() == 0 else None
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        control = [str(found / "pg_ctl"), "-D", f"{folder}/data", "-w", "-t", str(WAIT_S)]
        _run(
            [str(found / "initdb"), "-D", f"{folder}/data", "-U", "eventyard", "-A", "trust", "-N", "-E", "UTF8"], folder, user
        )
        options = f"-k {folder} -c listen_addresses='' -c fsync={'on' if fsync else 'off'}"
        _run([*control, "-l", f"{folder}/log", "-o", options, "start"], folder, user)
        try:
            yield f"host={folder} user=eventyard dbname=postgres"
        finally:
            _run([*control, "-m", "immediate", "stop"], folder, user)


def _other_user() -> pwd.struct_passwd:
    known = {each.pw_name: each for each in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _run(command: list[str], folder: str, user: pwd.struct_passwd | None) -> None:
    """Its output goes to a file: a server keeps what it inherits open, and a pipe would never end."""
    said = Path(folder) / "said"
    with said.open("wb") as out:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            timeout=WAIT_S,
            check=False,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
        )
    assert done.returncode == 0, said.read_text()
