"""The tree of commands."""

from functools import cache
from typing import Annotated, Any

import typer

import eventyard
from eventyard.cli import (
    about,
    applying,
    backtesting,
    backup,
    buses,
    detectors,
    doctor,
    editing,
    events,
    expectations,
    explaining,
    exporting,
    keys,
    patterns,
    previewing,
    publishing,
    queue,
    rehearsing,
    replays,
    reviving,
    rules,
    schedules,
    secrets,
    serving,
    storytelling,
    tailing,
    top,
    transforms,
    watching,
    working,
)
from eventyard.cli.reaching import with_reach

_HELP = """Eventyard: a durable event bus. Producers say what happened, rules direct it, services react.

Start:
  eventyard serve
  eventyard publish --type order.paid --source /shop --data '{"total": 25}'
  eventyard tail --follow
  eventyard rules put rewards --type order.paid --to http://127.0.0.1:9005/

Every command has --help with an example. The server's address is --url or
EVENTYARD_URL, the access key EVENTYARD_KEY or --key-file. Exit codes: 0 ok, 1 the answer is no, 2 usage, 3 refused by
the server, 4 no server or not now, 5 a defect, 6 a dry run with changes. More: docs/reference/cli.md
"""


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"eventyard {eventyard.__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    _help_alone(context)


def _help_alone(context: typer.Context) -> None:
    """A group without a command shows what there is."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


_START = "Start"
_USE = "Events and rules"
_KEEP = "Backup"


@cache
def command() -> Any:
    """The click command of the whole line."""
    app = typer.Typer(name="eventyard", help=_HELP, pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True)(_root)
    app.command("serve", rich_help_panel=_START)(serving.serve)
    app.command("worker", rich_help_panel=_START)(working.worker)
    app.command("demo", rich_help_panel=_START, context_settings=_HANDED_ON)(about.demo)
    app.command("doctor", rich_help_panel=_START)(doctor.doctor)
    app.command("version", rich_help_panel=_START)(about.version)
    app.command("backup", rich_help_panel=_KEEP)(backup.backup)
    app.command("restore", rich_help_panel=_KEEP)(backup.restore)
    app.command("publish", rich_help_panel=_USE)(publishing.publish)
    app.command("tail", rich_help_panel=_USE)(tailing.tail)
    app.command("explain", rich_help_panel=_USE)(explaining.explain)
    app.command("story", rich_help_panel=_USE)(storytelling.story)
    app.command("top", rich_help_panel=_USE)(top.top)
    app.command("apply", rich_help_panel=_USE)(applying.apply)
    app.command("export", rich_help_panel=_USE)(exporting.export)
    rules.app.command("backtest")(backtesting.backtest)
    detectors.app.command("backtest")(rehearsing.backtest_detector)
    expectations.app.command("backtest")(rehearsing.backtest_expectation)
    schedules.app.command("preview")(previewing.preview)
    rules.app.command("edit")(editing.edit_rule)
    rules.app.command("watch")(watching.watch)
    buses.app.command("edit")(editing.edit_bus)
    for name, group in _GROUPS.items():
        group.callback(invoke_without_command=True)(_help_alone)
        app.add_typer(group, name=name, rich_help_panel=_USE)
    for registered in (command for typed in (app, *_GROUPS.values()) for command in typed.registered_commands):
        registered.callback = registered.callback and with_reach(registered.callback)
    return typer.main.get_command(app)


_HANDED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}

_GROUPS = {
    "events": events.app,
    "pattern": patterns.app,
    "transform": transforms.app,
    "rules": rules.app,
    "detectors": detectors.app,
    "expectations": expectations.app,
    "schedules": schedules.app,
    "queue": queue.app,
    "replay": replays.app,
    "dead-letters": reviving.app,
    "buses": buses.app,
    "keys": keys.app,
    "secrets": secrets.app,
}
