"""The story of the shop, chapter by chapter. Each does something, waits until it has taken effect, and says what it shows."""

from collections.abc import Mapping
from typing import Any

from . import reckoning, tables
from .account import Account
from .shop import Shop

FIRST_SERVICES = ("orders", "payments", "invoices", "fulfilment")


def tell(shop: Shop) -> Account:
    """The whole story. What it returns is whether all of it added up."""
    shop.screen.title(
        "Eventyard: the shop",
        "Six processes: a bus and five small services, each of which knows the bus's URL and its own port.\n"
        "Nobody calls anybody. Watch who reacts to what.",
    )
    for chapter in (
        _open,
        _order_flows,
        _item_is_missing,
        _payment_fails,
        _service_is_killed,
        _rewards_comes_late,
        _letter_dies,
    ):
        chapter(shop)
        shop.screen.pause()
    return _account(shop)


def _open(shop: Shop) -> None:
    shop.screen.chapter(
        "A bus and four services",
        "Each service starts and puts one rule on the bus: which events it wants, and where to. A rule is a "
        "subscription; nobody else has to be asked, or told.",
    )
    shop.start_bus()
    shop.screen.say("bus", f"listens at {shop.bus.url}, with an empty log")
    for service in FIRST_SERVICES:
        shop.start(service)


def _order_flows(shop: Shop) -> None:
    shop.screen.chapter(
        "An order flows",
        "A customer orders a book. Orders publishes what happened, order.placed, and is done with it. All that follows "
        "is reaction: each service sees an event that it cares for, and says in its turn what happened.",
    )
    shop.place("order-1", "book", 42.00)
    shop.wait_for("orders", "order-1", "shipped")
    shop.wait_for("invoices", "invoice for order-1")
    shop.screen.tell("The bus has it all in one log, each event under its position:")
    shop.screen.show(tables.log(entry for entry in shop.bus.log() if entry.event.get("subject") == "order-1"))


def _item_is_missing(shop: Shop) -> None:
    shop.screen.chapter(
        "A shelf is empty",
        "order-2 is paid, but no lamp is left. Fulfilment does not know who must hear of it; it publishes "
        "item.out-of-stock. Invoices writes a credit note, orders cancels.",
    )
    shop.place("order-2", "lamp", 65.00)
    shop.wait_for("invoices", "invoice for order-2")
    shop.wait_for("invoices", "credit-note for order-2")
    shop.wait_for("orders", "order-2", "cancelled")


def _payment_fails(shop: Shop) -> None:
    shop.screen.chapter(
        "A payment fails, and that is an event too",
        "The card of order-3 has expired. Payments publishes payment.failed instead of throwing an exception at "
        "somebody: orders cancels, fulfilment puts the mug back.",
    )
    shop.place("order-3", "mug", 12.00, card="expired")
    shop.wait_for("orders", "order-3", "cancelled")
    shop.wait_for("fulfilment", "order-3", "released")


def _service_is_killed(shop: Shop) -> None:
    placed = {"order-4": ("mug", 18.00), "order-5": ("book", 30.00), "order-6": ("mug", 21.50)}
    shop.screen.chapter(
        "Fulfilment is killed (SIGKILL), and nothing is lost",
        "Three orders come in while it is away. The others go on as if nothing had happened; the bus keeps what "
        "fulfilment is owed, and tries again.",
    )
    shop.kill("fulfilment")
    shop.screen.say("fulfilment", "(killed)")
    for order, (item, total) in placed.items():
        shop.place(order, item, total)
    for order in placed:
        shop.wait_for("invoices", f"invoice for {order}")
    owed = 2 * len(placed)
    shop.until("the deliveries to pile up", lambda: shop.bus.pending("fulfilment") == owed)
    shop.screen.tell(f"{owed} deliveries wait for fulfilment. It comes back on another port; only its own rule changes:")
    shop.start("fulfilment")
    for order in placed:
        shop.wait_for("orders", order, "shipped")
    shop.until("nothing to wait", lambda: shop.bus.pending("fulfilment") == 0)
    shop.screen.tell(f"All {owed} have arrived, and no delivery waits any more.")


def _rewards_comes_late(shop: Shop) -> None:
    shop.screen.chapter(
        "Rewards joins late",
        "A new team starts a fifth service. It wants paid orders of 20 and more, and those of the past as well: one "
        "rule, with a pattern and start: earliest. Nothing upstream changes.",
    )
    shop.start("rewards", is_heard=False)
    shop.screen.show_rule("rewards", _as_written(reckoning.created(shop.bus.log(), "rewards").event["data"]["rule"]))
    shop.screen.pause()
    missed = ("order-1", "order-2", "order-5", "order-6")
    shop.until("rewards to catch up", lambda: len(shop.report("rewards")["received"]) == len(missed))
    shop.screen.tell("It caught up on 4 orders (order-4 was below 20). The next one reaches it as it happens:")
    shop.place("order-7", "book", 24.00)
    shop.until("the points for order-7", lambda: len(shop.report("rewards")["received"]) == len(missed) + 1)
    shop.wait_for("orders", "order-7", "shipped")
    shop.wait_for("invoices", "invoice for order-7")


def _as_written(rule: Mapping[str, Any]) -> dict[str, Any]:
    """The log keeps a rule with every default written out; this is what somebody would have written."""
    return {
        "pattern": rule["pattern"],
        "target": {"http": {"url": rule["target"]["http"]["url"]}},
        "start": rule["start"],
        "delivery": {"backoff": rule["delivery"]["backoff"]},
        "description": rule["description"],
        "owner": rule["owner"],
    }


def _letter_dies(shop: Shop) -> None:
    shop.screen.chapter(
        "A dead letter, and its second life",
        "Two orders are paid in money that invoices cannot read. It answers 422: trying again would not help, so the "
        "bus sets the delivery aside at once, with the reason. The other services go on.",
    )
    shop.place("order-8", "book", 55.00, currency="CHF")
    shop.place("order-9", "mug", 3.00, currency="shells")
    for order in ("order-8", "order-9"):
        shop.wait_for("orders", order, "shipped")
    shop.until("two dead letters", lambda: len(shop.bus.dead_letters("invoices")) == 2)
    shop.screen.show(tables.dead_letters(shop.bus.dead_letters("invoices")))
    shop.screen.tell("A new release of invoices reads CHF too. It takes over, and the dead letters are redriven:")
    shop.restart("invoices", {"INVOICES_CURRENCIES": "EUR,CHF"})
    shop.bus.redrive("invoices")
    shop.wait_for("invoices", "invoice for order-8")
    shop.until("the other to die again", lambda: shop.bus.status("invoices")["dead"] == 1 and not shop.bus.pending("invoices"))
    shop.screen.tell("order-8 is billed. The shells died again, and stay where somebody can look at them.")


def _account(shop: Shop) -> Account:
    shop.screen.chapter(
        "The account",
        "Every event that a service says it published must be in the bus's log, and every event that matches a rule must "
        "have exactly one fate, which its receiver confirms. What each rule matches is worked out here a second time.",
    )
    account = reckoning.account_at_rest(shop)
    shop.screen.show(tables.published(account))
    shop.screen.show(tables.delivered(account))
    _judge(shop, account)
    return account


def _judge(shop: Shop, account: Account) -> None:
    for fault in account.faults:
        shop.screen.verdict(fault, is_good=False)
    if account.faults:
        shop.screen.verdict("The account does NOT balance.", is_good=False)
        return
    events = account.of_the_bus + sum(row.logged for row in account.published)
    deliveries = sum(row.owed for row in account.delivered)
    shop.screen.verdict(
        f"The account balances: {events} events and {deliveries} deliveries, none lost, none misrouted.", is_good=True
    )
