"""`eventyard story` against a running server."""

import json

from tests.support.commands import Command


def published(eventyard: Command, bus: str, id_: str, cause: str = "") -> str:
    of = {"causationid": cause, "causationsource": "/shop"} if cause else {}
    event = {"specversion": "1.0", "type": "t", "source": "/shop", "id": id_, **of}
    return str(eventyard("publish", "-", "--bus", bus, "--json", stdin=json.dumps(event)).documents[0]["position"])


def test_a_story_is_a_tree_in_which_the_event_asked_about_is_marked(eventyard: Command, bus: str) -> None:
    first = published(eventyard, bus, "a")
    eventyard("rules", "put", "ledger", "--bus", bus, "--type", "t", "--queue")
    second = published(eventyard, bus, "b", "a")
    published(eventyard, bus, "c", "b")

    lines = eventyard("story", second, "--bus", bus).out.splitlines()

    assert lines[0].startswith(f"{first}  t  /shop a  ")
    assert lines[1].startswith(f"└── {second}  t  /shop b  ")
    assert lines[1].endswith("<- this one")
    assert lines[2] == "    ├── -> ledger: it waits for a consumer to receive it"
    assert "t  /shop c" in lines[3]
    assert len(lines) == 5
    assert eventyard("story", second, "--bus", bus, "--from-here").out.splitlines()[1].startswith(f"{second}  t  /shop b")


def test_programs_get_a_document_for_each_event_and_are_told_of_the_rest(eventyard: Command, bus: str) -> None:
    first = published(eventyard, bus, "a")
    for id_ in ("b", "c", "d"):
        published(eventyard, bus, id_, "a")

    ran = eventyard("story", first, "--bus", bus, "--json", "--limit", "2")

    assert [document["event"]["id"] for document in ran.documents] == ["a", "b"]
    assert '"next"' in ran.err


def test_an_event_that_is_not_there_has_none(eventyard: Command, bus: str) -> None:
    assert eventyard("story", "9", "--bus", bus).code != 0
