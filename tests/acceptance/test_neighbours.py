"""A target that hangs, drips, flaps, answers garbage or is not there hurts nobody but its own rule."""

from collections.abc import Callable
from contextlib import ExitStack

from eventyard.core.event import BATCHED
from tests.support.buses import served_bus
from tests.support.targets import Behaviour, Target, answers, flaps, hangs_after, repeats, says

EVENTS = 300
BAD: dict[str, Callable[[], Behaviour]] = {
    "hanging": lambda: hangs_after(b""),
    "dripping": lambda: repeats(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n", b"x", 0.05),
    "garbage": lambda: says(b"\x00\xff not http \r\n\r\n"),
    "flapping": lambda: flaps(*[500, 200, 503] * 40),
    "closing": lambda: says(b""),
}


def test_bad_targets_hurt_nobody_else() -> None:
    with ExitStack() as stack:
        bus = stack.enter_context(served_bus())
        good = stack.enter_context(Target(answers(204)))
        urls = {name: stack.enter_context(Target(behave())).url for name, behave in BAD.items()} | {
            "nobody": "http://127.0.0.1:1/"
        }
        for name, url in {**urls, "good": good.url}.items():
            target = {"http": {"url": url, "timeout_s": 300}}
            rule = {
                "pattern": {"type": ["t"]},
                "target": target,
                "delivery": {"concurrency": 4, "backoff": {"initial_s": 0.01}},
            }
            assert bus.put(f"/v1/buses/default/rules/{name}", json=rule).status_code == 201
        events = [{"specversion": "1.0", "id": str(number), "source": "/s", "type": "t"} for number in range(EVENTS)]
        answer = bus.post("/v1/buses/default/events", json=events, headers={"content-type": BATCHED})
        assert answer.status_code == 202
        bus.wait_until(lambda: bus.get("/v1/buses/default/rules/good/status").json()["delivered"] == EVENTS)
        statuses = {name: bus.get(f"/v1/buses/default/rules/{name}/status").json() for name in urls}
    assert len(good.requests) == EVENTS
    for name, status in statuses.items():
        kept = status["pending"] + status["delivered"] + status["dead"]
        assert kept == EVENTS, name
    assert statuses["hanging"]["delivered"] == statuses["nobody"]["delivered"] == 0
