"""Web pages in a browser on this machine may not speak to the bus; programs may."""

import pytest

from eventyard.core.errors import ForbiddenOrigin
from eventyard.surfaces.http.origins import OriginGuard
from tests.support.buses import ServedBus

EVENT = b'{"specversion":"1.0","id":"1","source":"/s","type":"t"}'


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8410", "localhost:1", "LOCALHOST", "[::1]:8410", "127.9.9.9", "a.localhost"]
)
def test_a_host_of_the_loopback_may_enter(door: ServedBus, host: str) -> None:
    assert door.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8410", "127.0.0.1.evil.example", "192.168.0.1", "", "localhost.evil.example", "[::2]"],
)
def test_a_name_that_was_made_point_here_may_not(door: ServedBus, host: str) -> None:
    answer = door.get("/", headers={"host": host})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:eventyard:problem:forbidden-origin")


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000", "http://127.0.0.1", "file://"])
def test_a_page_of_another_origin_publishes_nothing(door: ServedBus, name: str, origin: str) -> None:
    answer = door.publish(name, EVENT, origin=origin)
    assert (answer.status_code, answer.json()["at"]) == (403, "header origin")
    assert door.events(name) == []


def test_a_page_of_the_bus_itself_may_speak(door: ServedBus, name: str) -> None:
    headers = {"origin": f"http://127.0.0.1:{door.port}", "sec-fetch-site": "same-origin"}
    assert door.publish(name, EVENT, **headers).status_code == 202


def test_what_a_browser_sends_for_another_site_is_refused(door: ServedBus) -> None:
    assert door.get("/v1/buses", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert door.get("/v1/buses", headers={"sec-fetch-site": "none"}).status_code == 200


def test_nobody_is_told_that_another_origin_may(door: ServedBus) -> None:
    headers = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    answer = door.request("OPTIONS", "/v1/buses/default/events", headers=headers)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_configured_host_may_enter() -> None:
    guard = OriginGuard(("bus.example",))
    guard.check({b"host": b"Bus.Example:8410"})
    with pytest.raises(ForbiddenOrigin):
        guard.check({b"host": b"other.example:8410"})
