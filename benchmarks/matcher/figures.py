"""What one run found, as it is written to a file and read from there by `report`. Times are processor time of the one thread."""

import datetime
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import msgspec


class Pace(msgspec.Struct, frozen=True):
    """Microseconds for an event, in the best and in the middle round."""

    best_us: float
    median_us: float

    @property
    def per_s(self) -> float:
        return 1e6 / self.median_us


class Ratio(msgspec.Struct, frozen=True):
    """Ours and `orjson.loads`, in turns on the same lines. `goal` and `times`: in multiples of the speed of `orjson.loads`."""

    name: str
    events: str
    lines: int
    rules: int
    goal: float | None
    ours: Pace
    loads: Pace
    nothing: Pace
    """Of msgspec's decoder, passing over the whole event."""
    matches: tuple[int, ...]
    """How many of the lines each rule matches; of a thousand rules and more how many all match together."""

    @property
    def times(self) -> float:
        return self.loads.median_us / self.ours.median_us

    @property
    def is_reached(self) -> bool:
        return self.goal is None or self.times >= self.goal


class Spread(msgspec.Struct, frozen=True):
    """Microseconds of one thing done many times."""

    times: int
    median_us: float
    p99_us: float
    max_us: float


class Building(msgspec.Struct, frozen=True):
    """Rules added one by one in a fresh process, and what its resident memory grew by. `peak_mb`: at its highest meanwhile."""

    rules: int
    parse_s: float
    build_s: float
    patterns_mb: float
    index_mb: float
    peak_mb: float


class Edits(msgspec.Struct, frozen=True):
    """One rule among many: adding and removing it, and the first event after it. `usual`: an event with no edit before."""

    rules: int
    paths: str
    add: Spread
    match_after_add: Spread
    remove: Spread
    match_after_remove: Spread
    usual: Spread


class Run(msgspec.Struct, frozen=True):
    machine: str
    versions: dict[str, str]
    day: str
    lines: int
    rounds: int
    load_before: float
    load_after: float
    banks: tuple[Ratio, ...] = ()
    scales: tuple[Ratio, ...] = ()
    building: Building | None = None
    edits: tuple[Edits, ...] = ()


def read(path: Path) -> Run:
    return msgspec.json.decode(path.read_bytes(), type=Run)


def write(run: Run, path: Path) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")


def machine() -> str:
    model = _first_of("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores of {model}, {platform.system()} {platform.release()}"


def versions() -> dict[str, str]:
    libraries = {name: metadata.version(name) for name in ("msgspec", "orjson")}
    return {"Python": f"{platform.python_version()} ({sys.implementation.name})", **libraries}


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _first_of(path: str, name: str) -> str:
    """The first value of `name` in a file of `name : value` lines; empty where there is none."""
    if not Path(path).exists():
        return ""
    lines = (line.partition(":") for line in Path(path).read_text().splitlines())
    return next((value.strip() for key, _, value in lines if key.strip() == name), "")
