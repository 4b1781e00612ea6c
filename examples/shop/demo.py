"""The shop, told in about 50 seconds: `python demo.py`, or `python demo.py --fast` without pauses for a reader.

It starts a bus and five services as processes of their own, plays the story, and ends with the account of every event and
every delivery. Exit code 0: the account balances; 1: it does not, or something failed; 130: it was interrupted.
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import httpx
from story import chapters  # type: ignore[import-not-found]  # the folder beside this script
from story.processes import ProcessEnded  # type: ignore[import-not-found]
from story.screen import Screen, console  # type: ignore[import-not-found]
from story.shop import Shop, TooLate  # type: ignore[import-not-found]

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    is_fast = _is_fast()
    for number in _ENDS:
        signal.signal(number, _interrupt)
    screen = Screen(console(), line_s=0 if is_fast else 0.1, chapter_s=0 if is_fast else 1.6)
    try:
        with tempfile.TemporaryDirectory(prefix="eventyard-shop-") as folder, Shop(screen, Path(folder)) as shop:
            account = chapters.tell(shop)
    except KeyboardInterrupt:
        screen.verdict("Interrupted; every process has been ended.", is_good=False)
        return 130
    except (ProcessEnded, TooLate, httpx.HTTPError) as error:
        screen.verdict(f"The demo failed: {error}", is_good=False)
        return 1
    return 1 if account.faults else 0


def _is_fast() -> bool:
    parser = argparse.ArgumentParser(description="Five services around one bus: a story that ends with its account.")
    parser.add_argument("--fast", action="store_true", help="no pauses for a reader")
    return bool(parser.parse_args().fast)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """A closed terminal, or a `kill`, ends the demo as Ctrl-C does: with all its processes, and once."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
