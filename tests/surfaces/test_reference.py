"""The reference pages name everything that there is: every route, every error, every setting."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from eventyard.core import errors
from eventyard.core.errors import EventyardError
from eventyard.settings import Settings
from eventyard.surfaces.http import problems
from eventyard.surfaces.http.problems import STATUSES
from eventyard.surfaces.http.route import Route
from eventyard.surfaces.http.routes import ROUTES
from tests.support.buses import served_bus
from tests.support.tools import needs_curl

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def leaves(kind: type[EventyardError]) -> Iterator[type[EventyardError]]:
    for child in kind.__subclasses__():
        if child.__subclasses__():
            yield from leaves(child)
        elif child.__module__ in (errors.__name__, problems.__name__):
            yield child


LEAVES = list(leaves(EventyardError))


def test_every_error_has_a_status() -> None:
    assert set(STATUSES) == set(LEAVES)


def test_every_error_has_a_code_of_its_own() -> None:
    assert len({kind.code for kind in LEAVES}) == len(LEAVES)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.code) and kind.title for kind in LEAVES)


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.code)
def test_every_error_is_told_with_its_status(kind: type[EventyardError]) -> None:
    page = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    assert f"| `{kind.code}` | {STATUSES[kind]} |" in page


def test_the_errors_page_tells_of_no_other() -> None:
    page = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == {kind.code for kind in LEAVES}


def test_every_route_is_told_and_no_other() -> None:
    page = (REFERENCE / "http.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^### `([A-Z]+) (/\S*)`$", page, re.MULTILINE))
    assert told == {(route.method, route.path) for route in ROUTES}


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if msgspec.structs.fields(route.query)], ids=lambda route: route.path
)
def test_every_query_field_is_told(route: Route) -> None:
    page = (REFERENCE / "http.md").read_text(encoding="utf-8")
    section = page.split(f"### `{route.method} {route.path}`\n")[1].split("\n### ")[0]
    for field in msgspec.structs.fields(route.query):
        assert f"`{field.encode_name}`" in section


def test_every_setting_is_told_and_no_other() -> None:
    page = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE))
    assert told == {field.encode_name for field in msgspec.structs.fields(Settings)}


@pytest.mark.parametrize("field", msgspec.structs.fields(Settings), ids=lambda field: field.encode_name)
def test_every_setting_is_told_with_its_variable(field: msgspec.structs.FieldInfo) -> None:
    page = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    assert f"`EVENTYARD_{field.encode_name.replace('-', '_').upper()}`" in page


def examples() -> list[tuple[str, str]]:
    """Each shell block of the HTTP page with the block of what it prints."""
    page = (REFERENCE / "http.md").read_text(encoding="utf-8")
    return re.findall(r"```sh\n(.*?)```\n\n```(?:json|text)\n(.*?)```", page, re.DOTALL)


@needs_curl
def test_the_examples_of_the_http_page_answer_what_it_says(tmp_path: Path) -> None:
    """In their order, on a bus of their own. Times are what they are, and so is the incarnation in every id."""
    with served_bus() as bus:
        for commands, told in examples():
            script = commands.replace("http://127.0.0.1:8410", bus.url).replace("curl -s", "curl -s -w '\\n'")
            incarnation = {record.name: record.incarnation for record in bus.yard.buses()}.get("shop", "none yet")
            command = ["/bin/bash", "-c", script.replace("5f0c1d2e", incarnation)]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30)
            answered = re.sub(r"20\d\d-\d\d-\d\dT[\d:.]+Z", "2026-01-31T08:00:00.000Z", done.stdout)
            answered = re.sub(r'"day":"20\d\d-\d\d-\d\d"', '"day":"2026-01-31"', answered)
            assert answered.replace(incarnation, "5f0c1d2e").rstrip("\n") == told.rstrip("\n")
    assert len(examples()) >= 6
