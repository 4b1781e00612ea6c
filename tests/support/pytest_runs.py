"""pytest as a team runs it, in an environment in which Eventyard is installed with the entry points that it has."""

import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import eventyard

ROOT = Path(__file__).parents[2]


def run_pytest(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    with tempfile.TemporaryDirectory() as site:
        install(Path(site))
        path = os.pathsep.join([site, str(Path(eventyard.__file__).parents[1])])
        own = ["-q", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider", "-p", "no:schemathesis", "-W", "error"]
        command = [sys.executable, "-m", "pytest", *own, *arguments]
        environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def install(site: Path) -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    installed = site / "eventyard_under_test-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: eventyard-under-test\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(
        "[pytest11]\n" + "".join(f"{name} = {where}\n" for name, where in points.items())
    )
