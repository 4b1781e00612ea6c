"""`eventyard doctor`: is this machine, its store and the server well? Each check says what it found and what to do."""

from typing import Annotated

import typer

from eventyard.cli.exits import Exit
from eventyard.cli.options import DEFAULT_URL, Json, Url
from eventyard.cli.screen import Screen


def doctor(
    *,
    data: Annotated[
        str, typer.Option("--data", envvar="EVENTYARD_DATA", metavar="FOLDER", help="The server's data folder.")
    ] = "./eventyard-data",
    url: Url = DEFAULT_URL,
    is_repairing: Annotated[
        bool, typer.Option("--repair", help="Repair the store that no server holds; says first what it would lack, and asks.")
    ] = False,
    is_sure: Annotated[bool, typer.Option("--yes", help="With --repair: do not ask.")] = False,
    as_json: Json = False,
) -> int:
    """Check Python, SQLite, the store and the server, and say what to do. Exit code 1: something is wrong.

    A store that no server holds is read from end to end: what it lost, what of
    it is damaged. Nothing in it is changed, unless --repair is given and agreed
    to; the files as they were are then kept beside it.

    Example:
      eventyard doctor --data ./eventyard-data

    Next, where no server answers: eventyard serve

    """
    from eventyard.cli import repairing  # noqa: PLC0415 - heavy, see the package
    from eventyard.cli.checks import Grade, examine  # noqa: PLC0415 - as above
    from eventyard.cli.progress import progress  # noqa: PLC0415 - as above
    from eventyard.engines.sqlite.files import database  # noqa: PLC0415 - as above

    screen = Screen(as_json=as_json)
    if is_repairing:
        return repairing.repair(screen, database(data), is_sure=is_sure)
    findings = []
    with progress(screen) as advance:
        for finding in examine(data, url, advance):
            findings.append(finding)
            screen.document(finding)
            screen.say(f"{_MARKS[finding.grade]} {finding.check:<8} {finding.found}")
            if finding.advice:
                screen.say(f"     {'':<8} -> {finding.advice}")
    return Exit.NO if any(finding.grade == Grade.WRONG for finding in findings) else Exit.OK


_MARKS = {"well": "ok   ", "doubtful": "look ", "wrong": "WRONG"}
