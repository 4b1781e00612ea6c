"""How a command fails: one readable message, what to do next, and an exit code. One table for every kind of error."""

import json
import re
import sys
import traceback
from typing import Any

import typer

from eventyard.cli.exits import Exit
from eventyard.cli.screen import printable


class Failure(Exception):
    """An end that a command foresaw. `advice` is what to do next."""

    def __init__(self, message: str, *, advice: str = "", code: Exit = Exit.USAGE, problem: Any = None) -> None:
        self.message = message
        self.advice = advice
        self.code = code
        self.problem = problem
        super().__init__(message)


def tell(error: Exception, *, as_json: bool) -> int:
    """Write `error` to standard error; gives the exit code."""
    failure = _failure(error)
    (_write_json if as_json else _write_text)(failure)
    return failure.code


def _write_text(failure: Failure) -> None:
    typer.secho("error: ", fg="red", bold=True, nl=False, err=True)
    typer.echo(printable(failure.message), err=True)
    if failure.advice:
        typer.secho("next:  ", fg="cyan", nl=False, err=True)
        typer.echo(printable(failure.advice), err=True)


def _write_json(failure: Failure) -> None:
    told = {"exit": int(failure.code), "message": failure.message, "next": failure.advice, "problem": failure.problem}
    sys.stderr.write(json.dumps({"error": told}) + "\n")


def _failure(error: Exception) -> Failure:
    if isinstance(error, Failure):
        return error
    if isinstance(error, typer.TyperException):
        return _usage(error)
    return _of_client(error) or _of_server(error) or _defect(error)


def _usage(error: typer.TyperException) -> Failure:
    context = getattr(error, "ctx", None)
    advice = f"{context.command_path} --help" if context else "eventyard --help"
    return Failure(error.format_message(), advice=advice)


def _of_client(error: Exception) -> Failure | None:
    from eventyard.client import ProblemError, Unreachable  # noqa: PLC0415 - heavy, see the package

    if isinstance(error, Unreachable):
        advice = "start a server with: eventyard serve, or name another one with --url or EVENTYARD_URL"
        return Failure(f"no server answers at {error.url} ({error.reason})", advice=advice, code=Exit.UNAVAILABLE)
    if isinstance(error, ProblemError):
        return _of_problem(error)
    return None


def _of_problem(error: Any) -> Failure:
    code = code_of_status(error.status)
    title = f"{error.title}: " if error.title else ""
    advice = (code is Exit.NO and _list_of(error.found)) or _ADVICE.get(error.code, _ADVICE[code])
    return Failure(f"{title}{error}", advice=advice, code=code, problem=_members(error))


_ABSENT = re.compile(r'found no (?P<kind>rule|bus|event|key) (?:.* on bus "(?P<bus>[^"]+)"\Z)?')
_LISTS = {"rule": "rules list", "bus": "buses list", "event": "events list", "key": "keys list"}


def _list_of(found: str) -> str:
    """The command that shows what there is of the kind that was not found; empty where that is not it."""
    absent = _ABSENT.match(found)
    if absent is None:
        return ""
    bus = absent["bus"]
    return f"eventyard {_LISTS[absent['kind']]}{f' --bus {bus}' if bus not in {None, 'default'} else ''} shows what is there"


def code_of_status(status: int) -> Exit:
    """Which exit code an HTTP status of a problem becomes."""
    if status == 404:
        return Exit.NO
    if status in (408, 429, 502, 503, 504, 507):
        return Exit.UNAVAILABLE
    return Exit.REFUSED if 400 <= status < 500 else Exit.INTERNAL


_ADVICE: dict[Any, str] = {
    Exit.NO: "see what is there: eventyard buses list, eventyard rules list, eventyard events list",
    Exit.REFUSED: "change what the message names and try again; docs/reference/errors.md has every code",
    Exit.UNAVAILABLE: "try again shortly; eventyard doctor looks for the cause",
    Exit.INTERNAL: "look into the server's log; eventyard doctor looks for the cause",
    "forbidden-target": "let the server call that network: eventyard serve --allow-network CIDR",
    "storage-full": "free disk space where the server keeps its data; it goes on by itself",
    "event-conflict": "a new event needs a new id; leave --id out to get one",
    "unauthenticated": "set EVENTYARD_KEY, or --key-file FILE, to a key of this server (eventyard keys create made it)",
    "forbidden": "use a key that may do this; whoever manages keys makes one: eventyard keys create NAME --scope SCOPE",
    "version-conflict": "somebody changed it meanwhile: look at what it is now, and do the same again",
    "unreadable-answer": "check --url: something else than Eventyard may answer there, or stand in between",
}
"""By a problem's code, else by the exit code."""


def _members(error: Any) -> dict[str, Any]:
    names = ("code", "title", "status", "detail", "found", "wanted", "at", "retry_after_s")
    return {name: getattr(error, name) for name in names}


def _of_server(error: Exception) -> Failure | None:
    """What `serve` ends in before or while it runs."""
    from eventyard.core.errors import EventyardError, Refused, Unavailable  # noqa: PLC0415 - only when it is needed

    if isinstance(error, OSError):
        return Failure(f"{error}", advice="eventyard doctor looks for the cause", code=Exit.UNAVAILABLE)
    if isinstance(error, Refused):
        return Failure(f"{error.title}: {error}", advice="eventyard serve --help lists the settings")
    if isinstance(error, EventyardError):
        code = Exit.UNAVAILABLE if isinstance(error, Unavailable) else Exit.INTERNAL
        return Failure(f"{error.title}: {error}", advice="eventyard doctor looks for the cause", code=code)
    return None


def _defect(error: Exception) -> Failure:
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    message = f"this is a defect of Eventyard: {type(error).__name__}: {error}{where}"
    return Failure(message, advice="please report it with the command line and this message", code=Exit.INTERNAL)
