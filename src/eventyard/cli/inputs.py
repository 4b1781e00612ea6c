"""What a person hands to a command: JSON on the command line, in a file, or on standard input."""

import json
import sys
from pathlib import Path

from eventyard.cli.failures import Failure


def read_json(argument: str, *, what: str) -> bytes:
    """The JSON text that `argument` is or names, checked to be JSON and otherwise as it was written."""
    text, origin = _read(argument, what)
    try:
        json.loads(text)
    except UnicodeDecodeError as error:
        raise Failure(f"{origin} is not UTF-8: {error}", advice="save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise Failure(f"{origin} is not JSON: {error}", advice=_advice(argument)) from error
    return text


def _read(argument: str, what: str) -> tuple[bytes, str]:
    """The text, and what to call it in a message."""
    if argument == "-":
        return sys.stdin.buffer.read(), f"{what} on standard input"
    if argument.startswith("@"):
        return read_file(argument[1:]), argument[1:]
    if not argument.lstrip().startswith(("{", "[", '"')) and Path(argument).is_file():
        return read_file(argument), argument
    return argument.encode(), f"{what} {argument[:60]!r}"


def read_file(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Failure(
            f"cannot read {path}: {error.strerror}", advice="name a file that exists, or - for standard input"
        ) from error


def _advice(argument: str) -> str:
    if argument == "-" or argument.startswith("@") or Path(argument).is_file():
        return "correct the place that the message names"
    return f"give JSON (text in double quotes inside single ones: '\"{argument[:20]}\"'), @FILE, or - for standard input"
