"""The CloudEvents project's own cases, and what GitHub really sends."""

import json
from pathlib import Path
from typing import Any

import pytest

from eventyard.core.errors import Refused
from eventyard.core.event import BATCHED, from_structured, to_binary
from eventyard.ingest import accept

DATA = Path(__file__).resolve().parents[1] / "data"
ALL_WEBHOOKS = Path(__file__).resolve().parents[3] / "shared" / "data" / "github_webhooks.jsonl"
CASES = [json.loads(line) for line in (DATA / "cloudevents_json_format.jsonl").read_text().split("\n") if line]


def is_accepted(case: dict[str, Any]) -> bool:
    try:
        if "batch" in case:
            batch = accept(BATCHED, (), json.dumps(case["batch"]).encode())
            return not any(isinstance(event, Refused) for event in batch.events)
        from_structured(json.dumps(case["event"]).encode())
    except Refused:
        return False
    return True


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_the_json_format_is_read_as_the_cloudevents_project_reads_it(case: dict[str, Any]) -> None:
    assert is_accepted(case) is case["testType"].startswith("Valid")


@pytest.mark.parametrize("path", [DATA / "github_webhooks.jsonl", ALL_WEBHOOKS], ids=["sample", "all"])
def test_real_webhooks_are_accepted_byte_for_byte_and_leave_in_binary_mode_as_themselves(path: Path) -> None:
    if not path.exists():
        pytest.skip(f"{path} is not here")
    for body in path.read_bytes().split(b"\n")[:-1]:
        event = from_structured(body)
        assert event.json is body
        headers, data = to_binary(body)
        [again] = accept(headers["content-type"], headers.items(), data).events
        assert not isinstance(again, Refused)
        assert again.digest == event.digest
        assert again.document == event.document
