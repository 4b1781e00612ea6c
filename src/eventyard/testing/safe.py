"""Where a test's bus keeps what is secret in its rules: in memory, and not sealed at all."""

from eventyard.core.errors import SecretLost
from eventyard.core.secret import SEALED


class OpenSafe:
    """`ports.Vault`. What is kept is a number and what it belongs to; so it does not open elsewhere, as in a server."""

    def __init__(self) -> None:
        self._kept: list[tuple[str, str]] = []

    def seal(self, text: str, context: str) -> str:
        self._kept.append((text, context))
        return f"{SEALED}test:{len(self._kept) - 1}"

    def open(self, sealed: str, context: str) -> str:
        text, belongs_to = self._kept[int(sealed.rpartition(":")[2])]
        if belongs_to != context:
            raise SecretLost("it was sealed for something else")
        return text

    def is_current(self, sealed: str) -> bool:
        return sealed.startswith(f"{SEALED}test:")

    def rotate(self) -> str:
        return "test"

    def forget(self) -> int:
        return 0
