"""What the demo asks the bus: plain HTTP, every path written out."""

from collections.abc import Mapping
from typing import Any

import httpx

from .account import Logged


class Bus:
    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=10, trust_env=False)

    def is_ready(self) -> bool:
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def log(self) -> list[Logged]:
        """Every event of the bus, in order."""
        entries: list[Logged] = []
        after: str | None = "0"
        while after is not None:
            page = self._get("/events", {"after": after})
            entries += [Logged(entry["position"], entry["event"]) for entry in page["events"]]
            after = page["next"]
        return entries

    def rules(self) -> list[dict[str, Any]]:
        return list(self._get("/rules")["rules"])

    def status(self, rule: str) -> dict[str, Any]:
        return dict(self._get(f"/rules/{rule}/status"))

    def pending(self, rule: str) -> int:
        """Deliveries that have not ended."""
        status = self.status(rule)
        return int(status["pending"])

    def dead_letters(self, rule: str) -> list[dict[str, Any]]:
        return list(self._get(f"/rules/{rule}/dead-letters")["dead_letters"])

    def redrive(self, rule: str) -> None:
        self._http.post(f"/v1/buses/default/rules/{rule}/dead-letters/redrive", json={"all": True}).raise_for_status()

    def close(self) -> None:
        self._http.close()

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        answer = self._http.get(f"/v1/buses/default{path}", params=query)
        answer.raise_for_status()
        return answer.json()
