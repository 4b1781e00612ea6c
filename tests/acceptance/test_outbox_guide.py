"""docs/guides/outbox.md, walked as it stands, and what it shows beside the walk held against the code."""

from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy.orm import Session

from eventyard.client import Inbox, Outbox
from tests.support.walk import DOCS, blocks, walking

PAGE = "guides/outbox.md"


def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking(PAGE, tmp_path) as walk:
        walk.save("shop.py")
        walk.run_and_read()
        walk.run_and_read()
        walk.save("relay.py")
        walk.start()
        walk.run_until_read()
        walk.run()
        walk.run_until_read()
        walk.save("packer.py")
        walk.run_and_read()
        walk.run_and_read()
        assert [walk.take(language) for language in ("python", "sql", "sql")]


def test_the_tables_are_what_is_made() -> None:
    tables, _ = shown("sql")
    made = [*Outbox().schema("postgresql"), *Inbox("packing").schema("postgresql")]
    assert tables.replace("\n\n", "\n") == "".join(f"{each};\n" for each in made)


def test_what_is_shown_for_other_drivers_can_be_loaded() -> None:
    names: dict[str, Any] = {}
    exec(shown("python")[-1], names)  # noqa: S102 - our own documentation
    assert "with_psycopg_awaited" in names


@pytest.mark.parametrize("name", ["with_psycopg", "with_sqlalchemy"])
def test_what_is_shown_for_other_drivers_works(name: str, postgresql: str) -> None:
    names: dict[str, Any] = {}
    exec(shown("python")[-1], names)  # noqa: S102 - our own documentation
    with psycopg.connect(postgresql, options="-c search_path=pg_temp") as connection:
        connection.execute("CREATE TEMPORARY TABLE stock (article text, amount int)")
        Outbox().create(connection)
        connection.commit()
        engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: connection)
        names[name](connection if name == "with_psycopg" else Session(engine))
        assert connection.execute("SELECT count(*) FROM eventyard_outbox").fetchone() == (1,)


def shown(language: str) -> list[str]:
    return [block.text for block in blocks((DOCS / PAGE).read_text()) if block.language == language]
