"""Secrets of rules: the key that they are sealed with, changed."""

import msgspec

from eventyard.core import document
from eventyard.core.errors import InvalidRequest
from eventyard.surfaces.http.calls import Answer, Call, NoFields, json_answer


class Rotate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`forget_old`: throw the old keys away, by which backups made before could still be read."""

    forget_old: bool = False


class RotatedAnswer(msgspec.Struct, frozen=True):
    """`key` names the key in use now. `resealed`: secrets sealed anew; `lost`: that could not be opened; `forgotten`: keys thrown away."""

    key: str
    resealed: int
    lost: int
    forgotten: int


async def rotate(call: Call[NoFields]) -> Answer:
    asked = document.read(call.body, Rotate, InvalidRequest) if call.body else Rotate()
    rotated = await call.yard.rotate_secrets(is_forgetting=asked.forget_old)
    return json_answer(RotatedAnswer(*rotated))
