"""How a server is reached: the key that is sent with each request, and who vouches for its certificate. Options that every command which speaks to one has.

A key is never an option itself: whoever lists the processes of a machine reads their command lines.
"""

import functools
import inspect
import os
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any

import typer

from eventyard.cli.failures import Failure

KEY_VARIABLE = "EVENTYARD_KEY"
KEY_BYTES_MAX = 16 * 1024

KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file", envvar="EVENTYARD_KEY_FILE", metavar="FILE", help="A file that holds the access key; else EVENTYARD_KEY."
    ),
]

CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file", envvar="EVENTYARD_CA_FILE", metavar="FILE", help="Authorities (PEM) that its certificate may come from."
    ),
]

_ca_file: ContextVar[Path | None] = ContextVar("ca_file", default=None)
_key_file: ContextVar[Path | None] = ContextVar("key_file", default=None)


def with_reach(command: Callable[..., Any]) -> Callable[..., Any]:
    """`command` with these options, where it speaks to a server (it has a `url` or a `server`)."""
    signature = inspect.signature(command)
    if not {"url", "server"} & signature.parameters.keys():
        return command

    @functools.wraps(command)
    def reaching(*args: Any, key_file: Path | None, ca_file: Path | None, **kwargs: Any) -> Any:
        tokens = _key_file.set(key_file), _ca_file.set(ca_file)
        try:
            return command(*args, **kwargs)
        finally:
            _key_file.reset(tokens[0])
            _ca_file.reset(tokens[1])

    options = {"key_file": KeyFile, "ca_file": CaFile}
    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind) for name, kind in options.items()
    ]
    reaching.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *parameters])  # type: ignore[attr-defined]
    reaching.__annotations__ = command.__annotations__ | options
    return reaching


def ca_file() -> str:
    """The file of authorities; empty for the usual ones."""
    return str(_ca_file.get() or "")


def key() -> str:
    """The access key to send; empty where none was given."""
    path = _key_file.get()
    return os.environ.get(KEY_VARIABLE, "").strip() if path is None else key_in(path)


def key_in(path: Path) -> str:
    """The key in a file. A failure tells never a word of what stands in it."""
    try:
        with path.open("rb") as file:
            content = file.read(KEY_BYTES_MAX + 1)
        text = content.decode("ascii")
    except OSError as error:
        raise Failure(
            f"cannot read the key in {path}: {error.strerror}", advice="--key-file names a file with a key"
        ) from error
    except UnicodeDecodeError as error:
        raise Failure(f"{path} holds no key", advice="--key-file names a file with a key and nothing else") from error
    if not text.strip() or len(content) > KEY_BYTES_MAX:
        raise Failure(f"{path} holds no key", advice="--key-file names a file with a key and nothing else")
    return text.strip()
