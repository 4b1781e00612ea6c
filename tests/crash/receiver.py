"""Targets for the crash suite: one small HTTP server for all rules, which counts what each of them was sent."""

import asyncio
import json
import random
import threading
from collections import Counter
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.crash.copied import reply_to
from tests.crash.guarded import RULE as GUARDED
from tests.crash.guarded import Guarded
from tests.crash.shaped import TOKEN_PATH, Tokens, event_of, log_in_wanted

REFUSED_SHARE = 0.05
"""Answered with 503, so that retries are always under way when the server dies."""

Identity = tuple[str, str]
"""Source and id."""


class Receiver:
    """`taken[rule]` counts the answers 200 for each event; `deliveries` holds every delivery id seen for it.

    Each push has to be signed with `secret`; one that is not is a stray. `by_run` holds, by rule and run, what was taken, and `marks` as what replay it came; `arrivals` all that came, with the answer, in order.
    """

    secret = "whsec_Y3Jhc2hlcyBmb3JnZXQgbm8gc2VjcmV0cyE="

    def __init__(self, seed: int) -> None:
        self.taken: dict[str, Counter[Identity]] = {}
        self.deliveries: dict[tuple[str, Identity], set[str]] = {}
        self.by_run: dict[tuple[str, int], set[Identity]] = {}
        self.marks: dict[tuple[str, int], set[str]] = {}
        self.arrivals: dict[str, list[tuple[Identity, int]]] = {}
        self.strays: list[str] = []
        self.tokens = Tokens()
        self.guarded = Guarded(self.strays)
        self._rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._end_connections())
        self._loop.close()

    async def _end_connections(self) -> None:
        connections = asyncio.all_tasks() - {asyncio.current_task()}
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, which dies when the server does."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method, path, headers = _parse(head)
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                if method == "OPTIONS":
                    writer.write(_consent(self.guarded.ask(headers)))
                    continue
                status, answer = self._answer(path, headers, body)
                kind = b"content-type: application/cloudevents+json\r\n" if "eventyard-reply" in headers else b""
                writer.write(b"HTTP/1.1 %d X\r\n%bcontent-length: %d\r\n\r\n%b" % (status, kind, len(answer), answer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if path == TOKEN_PATH:
            return self.tokens.give(headers)
        if "eventyard-batch" in headers:
            return self._take_batch(path.strip("/"), headers, body)
        status = self._take(path, headers, body)
        is_reply = status == 200 and headers.get("eventyard-reply") == "true"
        return status, reply_to(json.loads(body)) if is_reply else b""

    def _take_batch(self, rule: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Now and then too much at once; else an answer for each of them, which no header names, so all count as of one delivery and run."""
        self._verify(headers, body)
        events = json.loads(body)
        if len(events) > 1 and self._rng.random() < REFUSED_SHARE:
            return 413, b""
        named = {"eventyard-delivery": "batched-0"}
        statuses = [self._note(rule, named, event) for event in events]
        entries = [{"position": 1} if status == 200 else {"error": {"status": status}} for status in statuses]
        return 202, json.dumps({"events": entries}).encode()

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        rule = path.split("/")[1]
        if headers.get("eventyard-rule") != rule:
            self.strays.append(f"{rule} was sent {headers}")
        self._verify(headers, body)
        if not self.tokens.is_in(log_in_wanted(rule), headers):
            return 401
        event = event_of(rule, path, headers, json.loads(body))
        if isinstance(event, str):
            self.strays.append(f"{rule} was sent {event}: {body!r}")
            return 422
        return self._note(rule, headers, event)

    def _note(self, rule: str, headers: dict[str, str], event: dict[str, Any]) -> int:
        identity = (event["source"], event["id"])
        self.deliveries.setdefault((rule, identity), set()).add(headers["eventyard-delivery"])
        is_refused = self._rng.random() < REFUSED_SHARE or (rule == GUARDED and not self.guarded.is_up())
        status = 503 if is_refused else 200
        self.arrivals.setdefault(rule, []).append((identity, status))
        if status == 200:
            self._note_taken(rule, identity, headers)
        return status

    def _verify(self, headers: dict[str, str], body: bytes) -> None:
        try:
            Webhook(self.secret).verify(body, headers, json_parse=False)
        except WebhookVerificationError as error:
            self.strays.append(f"{error}: {headers}")
        if headers.get("webhook-id") != headers.get("eventyard-delivery", headers.get("eventyard-batch")):
            self.strays.append(f"two ids: {headers}")

    def _note_taken(self, rule: str, identity: Identity, headers: dict[str, str]) -> None:
        run = (rule, int(headers["eventyard-delivery"].rpartition("-")[2]))
        self.taken.setdefault(rule, Counter())[identity] += 1
        self.by_run.setdefault(run, set()).add(identity)
        self.marks.setdefault(run, set()).add(headers.get("eventyard-replay", ""))


def _consent(headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 X\r\n{lines}content-length: 0\r\n\r\n".encode()


def _parse(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, path and headers."""
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    method, path, _ = first.split(" ")
    return method, path, {name.lower(): value.strip() for name, value in pairs}
