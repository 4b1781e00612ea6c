"""GET /metrics: what whoever watches the bus reads."""

from eventyard.bus.figures import Figures
from eventyard.surfaces.http.calls import Answer, Call, NoFields

MEDIA = "text/plain"


async def metrics(call: Call[NoFields]) -> Answer:
    return await call.yard.figures(_told)


def _told(figures: Figures) -> Answer:
    """On the thread that watches: loading the library and writing thousands of lines would keep the door's loop."""
    from eventyard.surfaces.http import exposition  # noqa: PLC0415 - as above

    return Answer(200, exposition.text(figures), exposition.CONTENT_TYPE)
