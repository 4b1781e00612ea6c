"""The engine's SQL by name, as `queries.sql` has it: statements are read and reviewed as SQL, not as strings in Python."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)


def read(text: str) -> dict[str, str]:
    """The statements of `-- name: x` blocks. Other comments are for people and left out."""
    parts = _NAME.split(text)[1:]
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError("found two statements of one name")
    return {name: _COMMENT.sub("", body).strip() for name, body in zip(names, bodies, strict=True)}


SQL: Mapping[str, str] = MappingProxyType(read(Path(__file__).with_name("queries.sql").read_text(encoding="utf-8")))
