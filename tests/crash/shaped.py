"""Rules that log in at their target and shape what they send, and what their requests have to be: whole, and as they say."""

import base64
import json
import secrets
from collections.abc import Callable
from typing import Any, Literal

TOKEN_PATH = "/token"
CLIENT_SECRET = "crashes"
PASSWORD = "fallen"

USES_MAX = 100
"""Of a token, whereafter it is worth nothing: a server that has it must get another one, in each of its lives and within them."""

TEMPLATE = {
    "paths": {"source": "source", "id": "id", "n": "data.n", "subject": "subject", "delivery": "@delivery"},
    "path": "/<subject>",
    "headers": {"idempotency-key": "<delivery>"},
    "body": {"whose": "<source>", "order": "<id>", "amount": "<n>", "text": "<n> of <source>"},
}
EXPRESSIONS = {
    "path": '["of", subject]',
    "headers": {"idempotency-key": "$delivery"},
    "body": '{"whose": source, "order": id, "twice": data.n * 2, "kind": data.n % 2 = 0 ? "even" : "odd"}',
}

SHAPED: dict[str, dict[str, Any]] = {
    "templated": {"transform": {"template": TEMPLATE}, "method": "PUT"},
    "computed": {
        "transform": {"jsonata": EXPRESSIONS},
        "auth": {"basic": {"username": "eventyard", "password": {"secret": PASSWORD}}},
    },
}

_KEYS = frozenset({"key-1", "key-2", "key-3", "key-4"})

FEW: tuple[dict[str, Any], Callable[[dict[str, Any]], bool]] = (
    {"subject": ["key-1", "key-2", "key-3", "key-4"]},
    lambda event: event.get("subject") in _KEYS,
)
"""Their pattern, and what it means: a tenth, since an expression takes its time."""

LogIn = Literal["", "basic", "oauth2"]


def target_of(rule: str, url: str) -> dict[str, Any]:
    """What a rule's target has beside its address."""
    if rule != "templated":
        return SHAPED.get(rule, {})
    log_in = {"token_url": url + TOKEN_PATH, "client_id": "eventyard", "client_secret": {"secret": CLIENT_SECRET}}
    return {**SHAPED[rule], "auth": {"oauth2": log_in}}


def log_in_wanted(rule: str) -> LogIn:
    return {"templated": "oauth2", "computed": "basic"}.get(rule, "")  # type: ignore[return-value]


class Tokens:
    """A token server, and the door of who asks for its tokens. `given` counts them."""

    def __init__(self) -> None:
        self.given = 0
        self._left: dict[str, int] = {}

    def give(self, headers: dict[str, str]) -> tuple[int, bytes]:
        if headers.get("authorization") != _basic("eventyard", CLIENT_SECRET):
            return 401, b'{"error": "invalid_client"}'
        self.given += 1
        token = secrets.token_hex(8)
        self._left[token] = USES_MAX
        return 200, json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": 3600}).encode()

    def is_in(self, wanted: LogIn, headers: dict[str, str]) -> bool:
        authorization = headers.get("authorization", "")
        if wanted == "oauth2":
            token = authorization.removeprefix("Bearer ")
            self._left[token] = self._left.get(token, 0) - 1
            return self._left[token] >= 0
        return authorization == (_basic("eventyard", PASSWORD) if wanted else "")


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def event_of(rule: str, path: str, headers: dict[str, str], body: Any) -> dict[str, Any] | str:
    """Source and id of what was sent, or what is wrong with it."""
    if rule not in SHAPED:
        return dict(body)
    if headers.get("idempotency-key") != headers["eventyard-delivery"]:
        return f"the key {headers.get('idempotency-key')}"
    wanted = _wanted(rule, body["whose"], body["order"])
    if (path, body) != wanted:
        return f"{path}, wanted {wanted}"
    return {"source": body["whose"], "id": body["order"]}


def _wanted(rule: str, source: str, name: str) -> tuple[str, dict[str, Any]]:
    """As the clients number and name their events."""
    number = int(name)
    same, subject = {"whose": source, "order": name}, f"key-{number % 40}"
    if rule == "templated":
        return f"/templated/{subject}", {**same, "amount": number, "text": f"{number} of {source}"}
    return f"/computed/of/{subject}", {**same, "twice": number * 2, "kind": "odd" if number % 2 else "even"}
