"""`eventyard version` and `eventyard demo`."""

import platform
import subprocess
import sys
from pathlib import Path

import typer

import eventyard
from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.options import Json
from eventyard.cli.screen import Screen


def version(*, as_json: Json = False) -> int:
    """Print the versions of Eventyard and of what it stands on.

    Example:
      eventyard version

    Next: eventyard doctor also asks the server for its version.

    """
    import apsw  # noqa: PLC0415 - heavy, see the package

    screen = Screen(as_json=as_json)
    screen.document(
        {"eventyard": eventyard.__version__, "python": platform.python_version(), "sqlite": apsw.sqlite_lib_version()}
    )
    screen.say(f"eventyard {eventyard.__version__} (Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()})")
    return Exit.OK


def demo(context: typer.Context) -> int:
    """Run the shop: a few small services around a bus, in one terminal. What follows `demo` is handed to it.

    Example:
      eventyard demo

    Next: read examples/shop, or start a bus of your own with eventyard serve

    """
    script = _script()
    if script is None:
        raise Failure(
            "the demo is not in this installation: examples/shop/demo.py is missing",
            advice="run it from a checkout of Eventyard: python examples/shop/demo.py",
            code=Exit.NO,
        )
    with subprocess.Popen([sys.executable, str(script), *context.args]) as process:  # noqa: S603 - our own example
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()  # It got the same Ctrl-C, and ends by itself.
            raise


def _script() -> Path | None:
    """In an installed package beside the code, in a checkout two folders up."""
    package = Path(eventyard.__file__).parent
    places = (package / "examples" / "shop" / "demo.py", package.parent.parent / "examples" / "shop" / "demo.py")
    return next((place for place in places if place.is_file()), None)
