"""Budgets of hosts as operators write them."""

import pytest

from eventyard import settings
from eventyard.core.errors import InvalidSettings


def room(variables: dict[str, str], url: str) -> int | None:
    found = settings.hosts(settings.load({}, environment=variables))
    found.follow((1, 1), url, 0)
    host = found.host((1, 1))
    return None if host is None else found.room(host, 0)


def test_without_a_setting_there_is_no_budget() -> None:
    assert room({}, "http://api.example.com/") is None


def test_a_host_by_name_has_its_budget_in_place_of_what_any_has() -> None:
    variables = {
        "EVENTYARD_HOST_CONCURRENCY": "64",
        "EVENTYARD_HOST_RATE": "500",
        "EVENTYARD_HOSTS": '{"api.example.com": {"concurrency": 4}}',
    }
    assert room(variables, "https://api.example.com/events") == 4
    assert room(variables, "https://other.example.com/events") == 50


@pytest.mark.parametrize("name", ["https://api.example.com", "API.example.com", "api.example.com/x", "api.example.com:80", ""])
def test_a_host_that_no_address_would_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidSettings, match="found"):
        settings.load({"hosts": {name: {"concurrency": 1}}}, environment={})
