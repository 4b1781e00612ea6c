"""`eventyard pattern`: patterns tried on events, and patterns put together from flags."""

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.inputs import read_json
from eventyard.cli.options import DEFAULT_URL, Json, Url, connect
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(help="Try patterns on events.")


@app.command("test")
def test(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="The pattern: JSON, a file, or - for standard input.")],
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event, any JSON object: JSON, a file, or -.")],
    *,
    eventbridge: Annotated[
        bool, typer.Option("--eventbridge", help="Both are in EventBridge's names (detail-type, detail).")
    ] = False,  # noqa: PT028 - as above
    url: Url = DEFAULT_URL,  # noqa: PT028 - as above
    as_json: Json = False,  # noqa: PT028 - as above
) -> int:
    """Say whether a pattern matches an event, and why. Exit code 0: it matches, 1: it does not.

    Example:
      eventyard pattern test '{"type": ["order.paid"]}' event.json

    Next: eventyard rules put NAME --pattern @pattern.json --to URL

    """
    if pattern == event == "-":
        raise Failure(
            "found - for both the pattern and the event; standard input holds one", advice="put one of them in a file"
        )
    screen = Screen(as_json=as_json)
    pattern_text, event_text = read_json(pattern, what="the pattern"), read_json(event, what="the event")
    with connect(url) as client:
        verdict = client.test_pattern(pattern_text, event_text, eventbridge=eventbridge)
    screen.document(verdict)
    screen.say(f"{'match' if verdict.match else 'no match'}: {verdict.why}")
    return Exit.OK if verdict.match else Exit.NO


def compose(pattern: str | None, types: "Sequence[str]", sources: "Sequence[str]") -> bytes | None:
    """A pattern from flags: `pattern` with the types and sources added to it; None where nothing is asked.

    What is written in `pattern` keeps its spelling, since the spelling of numbers counts.
    """
    wanted = {name: list(values) for name, values in (("type", types), ("source", sources)) if values}
    if pattern is None:
        return msgspec.json.encode(wanted) if wanted else None
    text = read_json(pattern, what="the pattern")
    if not wanted:
        return text
    members = _members(text)
    if both := sorted(wanted.keys() & members.keys()):
        raise Failure(f'found "{both[0]}" in the pattern and as --{both[0]}', advice="say it in one place")
    return msgspec.json.encode(members | {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in wanted.items()})


def _members(text: bytes) -> "dict[str, object]":
    try:
        return dict(msgspec.json.decode(text, type=dict[str, msgspec.Raw]))
    except msgspec.ValidationError as error:
        raise Failure(
            f"the pattern is not a JSON object: {error}", advice="docs/reference/patterns.md shows patterns"
        ) from error
