"""What the commands of detectors and expectations have in common."""

from typing import TYPE_CHECKING

import msgspec

from eventyard.cli.inputs import read_json

if TYPE_CHECKING:
    from eventyard.client import Detector, Expectation


def text(pattern: msgspec.Raw) -> str:
    return bytes(pattern).decode()


def emits(emitter: "Detector | Expectation") -> str:
    return ", ".join(emitted["type"] for emitted in emitter.emit.values() if emitted is not None)


def done(emitter: "Detector | Expectation") -> str:
    """What a PUT has come to."""
    state = emitter.state
    return "created" if state.uid == state.version else f"changed (version {state.version})"


def read_document(file: str, *, what: str) -> bytes:
    """What `show --json` and `put --json` give is taken too: the name and what else they add is no part of the document."""
    found = read_json(file if file == "-" else f"@{file.removeprefix('@')}", what=what)
    try:
        members = msgspec.json.decode(found, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return found  # The server says what is wrong with it.
    return msgspec.json.encode({name: value for name, value in members.items() if name not in {"name", "state", "turns"}})


def of_bus(bus: str) -> str:
    """As an advice says it."""
    return "" if bus == "default" else f" --bus {bus}"
