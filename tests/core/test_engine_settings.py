"""The settings that choose what keeps the bus."""

from pathlib import Path

import pytest

from eventyard import settings
from eventyard.core.errors import InvalidSettings


def loaded(**flags: str) -> settings.Settings:
    return settings.load(flags, environment={})


def test_one_machine_keeps_the_bus_unless_told_otherwise() -> None:
    assert settings.journal_servers(loaded()) == []


@pytest.mark.parametrize(
    ("engine", "servers"),
    [
        ("nats://a", ["nats://a"]),
        ("nats://a:4222,b:4223,nats://c", ["nats://a:4222", "nats://b:4223", "nats://c"]),
        ("tls://a,b", ["tls://a", "tls://b"]),
    ],
)
def test_servers_are_named_as_the_first_one_is(engine: str, servers: list[str]) -> None:
    assert settings.journal_servers(loaded(engine=engine)) == servers


@pytest.mark.parametrize("engine", ["", "postgres", "nats://", "nats://a,,b", "http://a", "sqlite,nats://a"])
def test_what_is_no_engine_is_refused(engine: str) -> None:
    with pytest.raises(InvalidSettings):
        loaded(engine=engine)


def test_a_refusal_says_what_is_wanted_and_no_password() -> None:
    with pytest.raises(InvalidSettings) as refused:
        loaded(engine="nats://ann:hush@a,,b")
    assert "nats://a:4222" in refused.value.wanted
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("prefix", ["a.b", "a b", "a*", ">", "x" * 33, ""])
def test_a_prefix_that_cannot_begin_a_stream_s_name_is_refused(prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "eventyard.toml"
    file.write_text(f'journal-prefix = "{prefix}"\n', encoding="utf-8")

    with pytest.raises(InvalidSettings):
        settings.load({}, environment={}, file=file)
