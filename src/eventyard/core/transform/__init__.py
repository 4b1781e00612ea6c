"""Transforms: what a push rule makes of an event, so that a target gets the request that it knows. Pure.

    transform    what a caller writes, and that it can be used (here)
    placeholder  `<name>` in texts
    inputs       values out of an event, each as it is spelt there
    template     a template, compiled and filled in
    jsonata      expressions, and what is made of their values
    shaped       the request: escaped, bounded, never half of one

Nothing of an event may steer the request: what comes out of one is escaped where it goes, or the transform fails (`TransformFailed`).
"""

from typing import Annotated

import msgspec

from eventyard.core import limits

JSON = "application/json"

Text = Annotated[str, msgspec.Meta(max_length=limits.TRANSFORM_TEXT_LENGTH_MAX)]


class Otherwise(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A path, and the value that there is where the event has none."""

    path: Text
    default: msgspec.Raw


class Template(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`paths` names values of the event; `<name>` stands for one in texts of all the rest.

    `body` is any JSON. Left out, the target gets the event as the target's `mode` has it. `content_type` says what the body is sent as:
    JSON, a form (an object of values) or any other text (a string). `path` goes behind that of the target's URL, `query` behind its query.
    """

    paths: dict[str, Text | Otherwise] = {}
    body: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    content_type: Text = JSON
    headers: dict[str, Text] = {}
    path: Text = ""
    query: dict[str, Text] = {}


class Jsonata(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """An expression for each part, as in `Template`; a path is an array of segments."""

    body: Text | msgspec.UnsetType = msgspec.UNSET
    content_type: Text = JSON
    headers: dict[str, Text] = {}
    path: Text | msgspec.UnsetType = msgspec.UNSET
    query: dict[str, Text] = {}


class Transform(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Exactly one of these."""

    template: Template | msgspec.UnsetType = msgspec.UNSET
    jsonata: Jsonata | msgspec.UnsetType = msgspec.UNSET


class TransformFailed(Exception):
    """The event cannot be made into the request. The message is for a person: where, what was found, what was wanted."""


def kept(transform: Transform) -> Transform:
    """The same, without the text that it was read from, of which a `Raw` keeps all in memory."""
    template = transform.template
    if isinstance(template, msgspec.UnsetType):
        return transform
    body = template.body.copy() if isinstance(template.body, msgspec.Raw) else template.body
    paths = {name: _kept_path(path) for name, path in template.paths.items()}
    return Transform(template=msgspec.structs.replace(template, body=body, paths=paths))


def _kept_path(path: str | Otherwise) -> str | Otherwise:
    return path if isinstance(path, str) else Otherwise(path.path, path.default.copy())
