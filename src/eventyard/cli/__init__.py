"""The command line, `eventyard`. Described in docs/reference/cli.md.

Its commands speak to a server through `eventyard.client`; only `serve`, `doctor`, `backup` and `restore` look at this machine. Modules here import
what is heavy (the client, tables, the server) inside the function that needs it, so that help and completion come at once.
"""

import sys
from collections.abc import Sequence

from eventyard.cli.exits import Exit


def main() -> None:
    _leave_out("httpx._main")
    sys.exit(run(sys.argv[1:]))


def _leave_out(module: str) -> None:
    """Of what httpx loads where it can: its own command line, with colours and tables for it, would cost each of ours 0.1 s."""
    sys.modules[module] = None  # type: ignore[assignment]  # which says that there is none


def run(arguments: Sequence[str]) -> int:
    """Carry one command line out, and tell what it ends in. The one place where errors become messages and exit codes."""
    from eventyard.cli import failures  # noqa: PLC0415 - after main is known: an import error too gets a message
    from eventyard.cli.application import command  # noqa: PLC0415 - as above

    try:
        code = command().main(list(arguments), prog_name="eventyard", standalone_mode=False)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - every end has a code, a defect too
        return failures.tell(error, as_json="--json" in arguments)
    return int(code or Exit.OK)
