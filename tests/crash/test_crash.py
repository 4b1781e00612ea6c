from pathlib import Path

from tests.crash.campaign import run

KILLS = 8


def test_a_server_killed_again_and_again_keeps_every_promise(tmp_path: Path) -> None:
    shown: list[str] = []
    campaign = run(tmp_path / "data", KILLS, seed=7, show=shown.append)
    assert campaign.kills == len(shown) == KILLS
    assert campaign.at_calls > 0
    assert campaign.account.acknowledged > 0
    assert campaign.seeks > 0
    assert campaign.replays > 0
    assert campaign.tokens > 1
    assert campaign.work.deaths > 0
    assert campaign.work.worked > 0
    assert campaign.replies > 0
    assert campaign.openings > 0
    assert min(campaign.told.turned, campaign.told.lasted, campaign.told.expected, campaign.told.struck) > 0
