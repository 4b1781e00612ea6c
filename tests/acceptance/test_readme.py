"""README.md: its commands by hand work as printed, on a bus of the test's."""

import json
import re
import subprocess
from pathlib import Path

from tests.support.buses import served_bus
from tests.support.tools import needs_curl

README = Path(__file__).resolve().parents[2] / "README.md"


@needs_curl
def test_the_commands_by_hand_work_as_printed() -> None:
    blocks = re.findall(r"^```\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    (script,) = [block for block in blocks if block.startswith("B=http")]
    with served_bus() as bus:
        commands = script.replace("http://127.0.0.1:8410", bus.url).replace("curl ", "curl --silent --show-error --fail ")
        done = subprocess.run(["/bin/bash", "-ec", commands], capture_output=True, text=True, timeout=60, check=True)
    answers = [json.loads(text) for text in re.split(r"(?<=})(?={)", done.stdout.replace("\n", ""))]
    created, published, log, status = answers
    assert created["name"] == "rewards"
    assert (published["id"], published["duplicate"]) == ("o-1", False)
    kinds = [each["event"]["type"] for each in log["events"]]
    assert kinds[:2] == ["io.eventyard.rule.created", "order.paid"]
    assert kinds[2:] in ([], ["io.eventyard.delivery.failing"])  # By the time that it is asked for, the push may have failed.
    assert status["delivered"] == 0


@needs_curl
def test_the_commands_of_a_consumer_work_as_printed() -> None:
    blocks = re.findall(r"^```\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL)
    (by_hand,) = [block for block in blocks if block.startswith("B=http")]
    (pulled,) = [block for block in blocks if "rules/points/receive" in block]
    with served_bus() as bus:
        # The stream has no end, so it is given a second.
        script = (by_hand + pulled).replace("http://127.0.0.1:8410", bus.url).replace("curl -N", "timeout 1 curl -N")
        script = script.replace("curl ", "curl --silent --show-error --fail ")
        done = subprocess.run(["/bin/bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    printed = done.stdout.replace("\n", "")
    received = json.loads(re.search(r'\{"deliveries":\[.*?\]\}', printed)[0])  # type: ignore[index]
    assert [delivery["event"]["id"] for delivery in received["deliveries"]] == ["o-1"]
    assert received["deliveries"][0]["lease"]
    assert 'data: {"position":2' in printed


def test_the_two_commands_stand_first() -> None:
    first = README.read_text().split("```")[1]
    assert [line.split("#")[0].strip() for line in first.strip().splitlines()] == ["make demo", "make test"]
