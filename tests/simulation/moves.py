"""Which way a delivery may go, from where it stood to where a commit puts it."""

from eventyard.core.delivery import Delivery, Reason, State, decode_note
from tests.simulation.told import Told


def why_not(told: Told, head_before: int, before: Delivery, now: Delivery) -> str:
    """What the move breaks; empty where nothing. `head_before`: the last position of the commit before."""
    is_leased_again = now.leases == before.leases + 1 and now.state is State.LEASED
    if now.leases != before.leases and not is_leased_again:
        return "its leases are not counted"
    match before.state:
        case State.DELIVERED:
            return "it was delivered"
        case State.DEAD:
            return _of_dead(told, before, now)
        case State.DISCARDED:
            is_skipped = decode_note(before.note).reason == Reason.SKIPPED
            return "" if is_skipped and before.rule in told.redriven else "it was discarded"
    closed = told.closed.get((now.rule, now.run))
    if now.state is State.DELIVERED and closed is not None and closed <= head_before and before.rule not in told.redriven:
        return f"its run was closed at {closed}, and the verdict came after that"
    return ""


def _of_dead(told: Told, before: Delivery, now: Delivery) -> str:
    """Put back where somebody meant it, or discarded where somebody did, or with its rule."""
    if now.state is not State.DISCARDED:
        return "" if told.is_redriven(before) else "nobody meant it to be put back"
    reason = decode_note(now.note).reason
    is_purge = reason == Reason.PURGED or (reason == Reason.EXPIRED and before.position not in told.unspoken)
    return "nobody meant it to be purged" if is_purge and not told.is_purged(before) else ""
