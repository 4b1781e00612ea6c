"""What a command's exit code says. Scripts rely on these; docs/reference/cli.md lists them."""

import enum


class Exit(enum.IntEnum):
    """The codes. From 128 on they follow the shell: 128 and the number of the signal."""

    OK = 0
    NO = 1
    """The answer is no: no match, nothing there by that name, some events refused, a check that failed."""
    USAGE = 2
    """The command line, or a file that it names, cannot be used. Nothing was sent."""
    REFUSED = 3
    """The server refused what was sent; sent again it would be refused again."""
    UNAVAILABLE = 4
    """No server answers, or it cannot take this now. The same command may succeed later."""
    INTERNAL = 5
    """A defect or damage, of the server or of this program."""
    CHANGES = 6
    """A dry run found something to change. Not 2, which an option spelt wrong ends in too."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C."""
    BROKEN_PIPE = 141
    """Who read the output went away."""
