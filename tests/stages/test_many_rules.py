"""What one rule costs among very many: nothing walks or copies all of them for the sake of one."""

from tests.support.builders import Stepped, put_rule


def test_the_pattern_that_the_door_has_read_is_the_one_in_the_index() -> None:
    """Reading a pattern costs more than anything else of an edit; it was read three times."""
    bus = Stepped()
    created = put_rule("one")
    uid = bus.do(created).record.uid
    assert dict(bus.state.live.items())[uid] is created.pattern
    changed = put_rule("one", pattern={"type": ["order.sent"]})
    bus.do(changed)
    assert dict(bus.state.live.items())[uid] is changed.pattern
