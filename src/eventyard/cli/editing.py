"""`eventyard rules edit`, `eventyard buses edit`: the document of one, in an editor, put where it was changed."""

import contextlib
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from eventyard.cli.applying import show_step, take, tell_warnings
from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.options import DEFAULT_URL, Bus, BusName, Json, RuleName, Url, connect
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.cli.planning import Present, Step
    from eventyard.client import Client


def edit_rule(name: RuleName, *, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Edit a rule's document in $EDITOR. What you save is put, if nobody else has changed the rule meanwhile.

    Example:
      eventyard rules edit rewards

    Next: eventyard rules status RULE

    """
    from eventyard.cli import exported  # noqa: PLC0415 - heavy, see the package
    from eventyard.cli.planning import Present  # noqa: PLC0415 - as above

    with connect(url) as client:
        rule = client.rule(name, bus=bus)
        about = f"The rule {bus}/{name} in version {rule.state.version}. Where it started and its order stay as they are."
        present = Present({bus: client.bus(bus)}, {bus: {name: rule}})
        return _edit(Screen(as_json=as_json), client, _Task(about, exported.rule_document(bus, rule).value, present))


def edit_bus(name: BusName, *, url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Edit in $EDITOR what a bus keeps of its log. What you save is put, if nobody else has changed it meanwhile.

    Example:
      eventyard buses edit orders

    Next: eventyard buses show NAME

    """
    from eventyard.cli import exported  # noqa: PLC0415 - heavy, see the package
    from eventyard.cli.planning import Present  # noqa: PLC0415 - as above

    with connect(url) as client:
        bus = client.bus(name)

        def check() -> None:
            if client.bus(name).retention != bus.retention:
                raise Failure(
                    f"found that somebody changed the bus {name} meanwhile",
                    advice=f"eventyard buses edit {name}",
                    code=Exit.REFUSED,
                )

        task = _Task(f"What the bus {name} keeps.", exported.bus_document(bus).value, Present({name: bus}, {}), check)
        return _edit(Screen(as_json=as_json), client, task)


class _Task(msgspec.Struct, frozen=True):
    """What is edited, and what is there. `check` looks, just before it is put, for what the server does not look for itself."""

    about: str
    document: dict[str, Any]
    present: "Present"
    check: Callable[[], None] = lambda: None


def _edit(screen: Screen, client: "Client", task: _Task) -> int:
    from eventyard.cli import yaml_text  # noqa: PLC0415 - heavy, see the package

    text = f"# {task.about}\n# Save to put it. Leave it as it is, and nothing is changed.\n{yaml_text.written([task.document])}"
    with _kept(screen, text, task.document["name"]) as path:
        _run_editor(path)
        if path.read_bytes() == text.encode():
            screen.note("nothing was changed")
            return Exit.OK
        step = _step(path, task.document, task.present)
        if step.remark:
            screen.note(f"{step.called}: {step.remark}")
        if step.act == "keep":
            screen.note("what you saved says the same; nothing was changed")
            return Exit.OK
        task.check()
        warnings = take(client, step)
    show_step(screen, step, is_told=True)
    tell_warnings(screen, warnings)
    return Exit.OK


@contextlib.contextmanager
def _kept(screen: Screen, text: str, name: str) -> Iterator[Path]:
    """A file with `text` that only its owner can read. It goes when all went well; else nobody's work is thrown away."""
    descriptor, place = tempfile.mkstemp(prefix=f"eventyard-{name}-", suffix=".yaml")
    path = Path(place)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    try:
        yield path
    except BaseException:
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
            screen.note(f"what you saved is kept in {path}: eventyard apply -f {path} puts it")
        else:
            path.unlink(missing_ok=True)
        raise
    path.unlink(missing_ok=True)


def _run_editor(path: Path) -> None:
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    advice = "set EDITOR to a command that edits a file and returns when it is closed"
    try:
        code = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode  # noqa: S603 - the user's own editor
    except (OSError, ValueError) as error:
        raise Failure(f"cannot run the editor {editor}: {error}", advice=advice) from error
    if code:
        raise Failure(f"the editor {editor} ended in {code}; nothing was changed", advice=advice)


def _step(path: Path, document: dict[str, Any], present: "Present") -> "Step":
    """What saving means: one step, for the same bus or rule."""
    from eventyard.cli import declared, documents, planning  # noqa: PLC0415 - heavy, see the package

    wanted = declared.read(documents.read_all([str(path)]), bus=document.get("bus", "default"), owner="")
    named = [*((bus.name, None) for bus in wanted.buses), *((one.name, one.bus) for one in wanted.placed)]
    if named != [(document["name"], document.get("bus"))]:
        raise Failure(
            f"{path}: found another name, bus or document than was to be edited", advice="eventyard apply makes several"
        )
    [step] = planning.plan(wanted, present, pruned=frozenset(), takes_over=True)
    return step
