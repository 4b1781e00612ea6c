"""What we ship to run a server with asks for what there is: settings, files, and as long to stop as a stop takes."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eventyard import settings
from eventyard.settings import Settings

ROOT = Path(__file__).parents[2]
UNIT = (ROOT / "deploy" / "eventyard.service").read_text(encoding="utf-8")
RECIPE = (ROOT / "deploy" / "Containerfile").read_text(encoding="utf-8")
INSTRUCTIONS = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", RECIPE, flags=re.MULTILINE))
RESULT = INSTRUCTIONS.rpartition("\nFROM ")[2]

VERIFIER = shutil.which("systemd-analyze") or ""


def directives(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def test_every_variable_is_a_setting_with_a_value_that_it_may_have() -> None:
    of_unit = dict(line.split("=", 1) for line in directives("Environment"))
    of_image = dict(re.findall(r"(EVENTYARD_\w+)=(\S+)", INSTRUCTIONS))
    for given in (of_unit, of_image):
        ours = {name: value for name, value in given.items() if name.startswith("EVENTYARD_")}
        assert ours
        settings.load({}, environment=ours)


def test_a_unit_gives_a_stop_the_time_that_it_takes() -> None:
    [given_s] = map(int, directives("TimeoutStopSec"))
    default = Settings()
    assert given_s >= default.stop_delay_s + default.drain_s + 10


def test_a_unit_waits_for_what_a_server_says_to_it() -> None:
    assert directives("Type") == ["notify"]
    assert directives("KillSignal") == ["SIGTERM"]


@pytest.mark.skipif(not VERIFIER, reason="systemd is not here")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    """With a program that is there in place of ours."""
    unit = tmp_path / "eventyard.service"
    unit.write_text(UNIT.replace("/opt/eventyard/bin/eventyard", sys.executable))
    verified = subprocess.run([VERIFIER, "verify", str(unit)], capture_output=True, text=True, check=False, timeout=60)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_an_image_runs_as_a_user_of_its_own_and_its_store_is_a_volume() -> None:
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", RESULT, re.MULTILINE)
    [data] = re.findall(r"EVENTYARD_DATA=(\S+)", RESULT)
    assert re.findall(r"^VOLUME (\S+)$", RESULT, re.MULTILINE) == [data]
    assert RESULT.index("\nUSER ") > RESULT.rindex("\nRUN ")


def test_an_image_takes_over_nothing_but_what_runs() -> None:
    assert re.findall(r"^COPY (.*)$", RESULT, re.MULTILINE) == ["--from=build /opt/eventyard /opt/eventyard"]


def test_an_image_installs_nothing_that_is_not_checked_by_its_hash() -> None:
    installed = [line for line in re.split(r"\n|&&", INSTRUCTIONS) if re.search(r"\bpip .* install ", line)]
    assert len(installed) == 3
    assert all("--require-hashes" in line or "--no-index" in line for line in installed)
    assert "apt-get" not in INSTRUCTIONS


def test_everything_that_an_image_copies_is_there_and_let_through() -> None:
    let_through = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    copied = [name for line in re.findall(r"^COPY (?!--)(.*)$", INSTRUCTIONS, re.MULTILINE) for name in line.split()[:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert any(name == path or name.startswith(f"{path}/") for path in let_through), name


def test_what_an_image_listens_on_is_what_it_says() -> None:
    [port] = re.findall(r"^EXPOSE (\d+)$", RESULT, re.MULTILINE)
    assert int(port) == Settings().port
    assert f"127.0.0.1:{port}/healthz" in RESULT
