"""What a benchmark does right now, in one line of standard error that the next one replaces; nothing where nobody looks on."""

import sys


def announce(text: str) -> None:
    """Show `text` as what is under way; empty: nothing is any more."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", flush=True, file=sys.stderr)
