"""docs/guides/securing.md, walked as it stands where that needs nothing but this machine.

Where others reach the bus, TLS and an issuer's tokens have tests of their own: `test_public_start`, `test_tls`, `test_tokens`.
"""

import json
import re
import tomllib
from pathlib import Path

from tests.support.tools import needs_curl
from tests.support.walk import walking


@needs_curl
def test_the_guide_goes_as_it_says(tmp_path: Path) -> None:
    with walking("guides/securing.md", tmp_path) as walk:
        walk.run()
        printed = walk.run()
        assert re.fullmatch(r"(key \w+ is in \S+\n){3}ey_[0-9a-f]{8}_[0-9a-f]{64}\n", printed)
        published, buses = walk.run().splitlines()
        assert published.startswith("accepted: position 1,")
        assert json.loads(buses)["buses"][0]["name"] == "default"
        walk.save("publish.py")
        walk.after("python publish.py")
        walk.known["1a2b3c4d"] = (tmp_path / "rewards.key").read_text().split("_")[1]
        walk.run()
        asked = (
            "curl -s -o /dev/null -w '%{http_code}' -H \"Authorization: Bearer $(cat ./rewards.key)\" $EVENTYARD_URL/v1/buses"
        )
        assert walk.after(asked) == "401"
        assert "serve --host 0.0.0.0" in walk.take("sh")
        assert "kill -HUP" in walk.take("sh")
        assert tomllib.loads(walk.take("toml"))["jwt-grants"]
        walk.run_and_read()
        assert "secrets sealed with it: 1" in walk.run()
