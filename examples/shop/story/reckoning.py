"""Reads what the account needs, from the bus and of every service, at a moment when nothing moves."""

from collections.abc import Sequence

from .account import Account, Logged, RuleBook, balance
from .shop import Shop

_RULE_CREATED = "io.eventyard.rule.created"


def account_at_rest(shop: Shop) -> Account:
    shop.until("the bus and all services to be at rest", lambda: _is_at_rest(shop))
    log = shop.bus.log()
    rules = {rule: service for service in shop.services for rule in shop.rules_of(service)}
    taken = {rule: shop.witness.taken(rule, service, log) for rule, service in rules.items()}
    said = [
        shop.witness.published(service, {event for rule in rules if rules[rule] == service for event in taken[rule]})
        for service in shop.services
    ]
    return balance(log, [_rule_book(shop, log, rule) for rule in rules], said, taken)


def created(log: Sequence[Logged], rule: str) -> Logged:
    """The event that tells of the rule's creation: an edit of a rule stands in the log as any event does."""
    return next(entry for entry in log if entry.event["type"] == _RULE_CREATED and entry.event["data"]["name"] == rule)


def _is_at_rest(shop: Shop) -> bool:
    """Nothing pending, nothing unsent, and the log did not grow while we looked.

    The last is what makes the rest certain: whatever moved between two of our looks has published something, or has been
    pending in one of them.
    """
    head = len(shop.bus.log())
    is_settled = not any(shop.pending(service) for service in shop.services)
    is_sent = not any(shop.witness.unsent(service) for service in shop.services)
    return is_settled and is_sent and head == len(shop.bus.log())


def _rule_book(shop: Shop, log: Sequence[Logged], name: str) -> RuleBook:
    """The rule as its creation tells it, and its deliveries as the bus counts them."""
    creation = created(log, name)
    rule = creation.event["data"]["rule"]
    status = shop.bus.status(name)
    return RuleBook(
        name=name,
        pattern=rule["pattern"],
        first_position=1 if rule["start"] == "earliest" else creation.position + 1,
        delivered=status["delivered"],
        dead=status["dead"],
        discarded=status["discarded"],
        pending=status["pending"],
        dead_ids=frozenset(letter["event"]["id"] for letter in shop.bus.dead_letters(name)),
    )
