"""`eventyard transform`: what request a rule would make of an event."""

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from eventyard.cli import documents
from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.inputs import read_json
from eventyard.cli.options import DEFAULT_URL, Json, Url, connect
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.client import ShapedRequest

app = typer.Typer(help="Try transforms on events.")

_ANYWHERE = "https://api.example.com"


@app.command("test")
def test(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A rule or a transform: JSON, YAML or TOML, or -.")],
    *,
    event: Annotated[str, typer.Option("--event", help="The event, any JSON object: JSON, a file, or -.")],
    url: Url = DEFAULT_URL,  # noqa: PT028 - a command's name, no test
    as_json: Json = False,  # noqa: PT028 - as above
) -> int:
    """Show the request that a rule's target would get of an event. Nothing is sent. Exit code 1: the transform fails on it.

    Example:
      eventyard transform test rule.json --event event.json

    Next: eventyard rules put NAME rule.json

    """
    if file == event == "-":
        raise Failure(
            "found - for both the transform and the event; standard input holds one", advice="put one of them in a file"
        )
    screen = Screen(as_json=as_json)
    target, event_text = _target(file), read_json(event, what="the event")
    with connect(url) as client:
        tested = client.test_transform(target, event_text)
    screen.document(tested)
    if tested.request is None:
        screen.say(f"the transform fails: {tested.failure}")
        return Exit.NO
    screen.say(_shown(tested.request))
    return Exit.OK


def _target(file: str) -> bytes:
    """The target that the file holds, or one with the transform that it holds."""
    found = documents.read_all([file])
    if len(found) != 1:
        raise Failure(f"found {len(found)} documents in {file}", advice="name a file with one rule or one transform")
    value = found[0].value
    target: Any = value.get("target", {"http": {"url": _ANYWHERE, "transform": value}})
    return msgspec.json.encode(target)


def _shown(request: "ShapedRequest") -> str:
    lines = [f"{request.method} {request.url}", *(f"{name}: {value}" for name, value in request.headers.items())]
    return "\n".join([*lines, "", request.body] if request.body else lines)
