"""Types that several of the door's documents share, with what their JSON schema has to say."""

from typing import Annotated, Any

import msgspec

from eventyard.core import limits

POSITION_MAX = 2**53 - 1

Limit = Annotated[int, msgspec.Meta(ge=1, le=limits.PAGE_MAX)]
Position = Annotated[int, msgspec.Meta(ge=0, le=POSITION_MAX)]
Time = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
MaybeTime = Annotated[
    str,
    msgspec.Meta(
        description="A time; empty for none.", extra_json_schema={"anyOf": [{"format": "date-time"}, {"maxLength": 0}]}
    ),
]

CloudEvent = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        description="A CloudEvents 1.0 event in its structured form.",
        extra_json_schema={
            "type": "object",
            "required": ["specversion", "id", "source", "type"],
            "properties": {
                "specversion": {"const": "1.0"},
                "id": {"type": "string", "minLength": 1},
                "source": {"type": "string", "minLength": 1},
                "type": {"type": "string", "minLength": 1},
            },
        },
    ),
]
"""Embedded as it is stored, never encoded again: numbers stay spelt as their producer spelt them."""

MaybeCloudEvent = Annotated[
    msgspec.Raw,
    msgspec.Meta(description="The event; null where it is damaged.", extra_json_schema={"type": ["object", "null"]}),
]

PatternText = Annotated[
    msgspec.Raw,
    msgspec.Meta(description="A pattern: docs/reference/patterns.md.", extra_json_schema={"type": "object"}),
]

MaybePatternText = Annotated[
    msgspec.Raw,
    msgspec.Meta(
        description="A pattern (docs/reference/patterns.md), or null.", extra_json_schema={"type": ["object", "null"]}
    ),
]

AnyKey = Annotated[Any, msgspec.Meta(description="An order key: any JSON value, null for none.")]

KeyText = Annotated[msgspec.Raw, msgspec.Meta(description="An order key: any JSON value but null.")]

NULL = msgspec.Raw(b"null")
