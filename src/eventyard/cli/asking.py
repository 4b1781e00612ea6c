"""Asking whoever sits at the terminal before something is gone."""

import sys
from collections.abc import Callable

import typer

from eventyard.cli.failures import Failure


def perhaps(question: Callable[[], str]) -> bool:
    """Yes where nobody sits there: what a script says, it means, and nothing has to be found out for the question."""
    return not sys.stdin.isatty() or typer.confirm(question(), err=True)


def certainly(question: str, *, otherwise: str) -> bool:
    """For what is too much to be done by a slip: where nobody can be asked, it has to be said outright."""
    if not sys.stdin.isatty():
        raise Failure(otherwise, advice="add --yes")
    return typer.confirm(question, err=True)
