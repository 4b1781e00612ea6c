"""`eventyard doctor`: is this machine, its data folder and the server well? Each check says what it found and what to do."""

from typing import Annotated

import typer

from eventyard.cli.exits import Exit
from eventyard.cli.options import DEFAULT_URL, Json, Url
from eventyard.cli.screen import Screen


def doctor(
    *,
    data: Annotated[str, typer.Option("--data", metavar="FOLDER", help="The server's data folder.")] = "./eventyard-data",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Check Python, SQLite, the data folder and the server, and say what to do. Exit code 1: something is wrong.

    Writes only a small file into the data folder (or the folder it would be
    made in), and removes it.

    Example:
      eventyard doctor --data ./eventyard-data

    Next, where no server answers: eventyard serve

    """
    from eventyard.cli.checks import Grade, examine  # noqa: PLC0415 - heavy, see the package

    screen = Screen(as_json=as_json)
    findings = []
    for finding in examine(data, url):
        findings.append(finding)
        screen.document(finding)
        screen.say(f"{_MARKS[finding.grade]} {finding.check:<8} {finding.found}")
        if finding.advice:
            screen.say(f"     {'':<8} -> {finding.advice}")
    return Exit.NO if any(finding.grade == Grade.WRONG for finding in findings) else Exit.OK


_MARKS = {"well": "ok   ", "doubtful": "look ", "wrong": "WRONG"}
