"""The story of the shop, chapter by chapter. Each does something, waits until it has taken effect, and says what it shows."""

import shutil
from collections.abc import Mapping
from typing import Any

from . import reckoning, tables
from .account import Account, Logged
from .shop import Shop

FIRST_SERVICES = ("orders", "payments", "invoices", "fulfilment")


def tell(shop: Shop) -> Account:
    """The whole story. What it returns is whether all of it added up."""
    shop.screen.title(
        "Eventyard: the shop",
        "A bus and five small services, each a process that knows the bus's URL and none of the others.\n"
        "Nobody calls anybody. Watch who reacts to what.",
    )
    for chapter in (
        _open,
        _order_flows,
        _item_is_missing,
        _payment_fails,
        _bus_watches,
        _service_is_killed,
        _rewards_comes_late,
        _script_joins,
        _letter_dies,
    ):
        chapter(shop)
        shop.screen.pause()
    return _account(shop)


def _open(shop: Shop) -> None:
    shop.screen.chapter(
        "A bus and four services",
        "Each service starts and puts its rules on the bus: which events it wants, and how they come. A rule is a "
        "subscription; nobody else has to be asked, or told. Three services are made with Eventyard's client and fetch their "
        "events; invoices has nothing but HTTP, and has them pushed.",
    )
    shop.start_bus()
    shop.screen.say("bus", f"listens at {shop.bus.url}, with an empty log")
    for service in FIRST_SERVICES:
        shop.start(service)
        shop.show_rules(service)


def _order_flows(shop: Shop) -> None:
    shop.screen.chapter(
        "An order flows",
        "A customer orders a book. Orders publishes what happened, order.placed, and is done with it. All that follows "
        "is reaction: each service sees an event that it cares for, and says in its turn what happened.",
    )
    shop.place("order-1", "book", 42.00)
    shop.hear("orders", "order-1 is on its way")
    shop.hear("invoices", "invoice 1 for order-1")
    shop.until("all of it to be in the log", lambda: len(_log_of(shop, "order-1")) == 4)
    shop.screen.tell("The bus has it all in one log, each event under its position:")
    shop.screen.show(tables.log(_log_of(shop, "order-1")))


def _log_of(shop: Shop, order: str) -> list[Logged]:
    return [entry for entry in shop.bus.log() if entry.event.get("subject") == order]


def _item_is_missing(shop: Shop) -> None:
    shop.screen.chapter(
        "A shelf is empty",
        "order-2 is paid, but no lamp is left. Fulfilment does not know who must hear of it; it publishes "
        "item.out-of-stock. Invoices writes a credit note, orders cancels.",
    )
    shop.place("order-2", "lamp", 65.00)
    for line in ("invoice 2 for order-2", "credit-note 3 for order-2"):
        shop.hear("invoices", line)
    shop.hear("orders", "order-2 cancelled")


def _payment_fails(shop: Shop) -> None:
    shop.screen.chapter(
        "A payment fails, and that is an event too",
        "The card of order-3 has expired. Payments publishes payment.failed instead of throwing an exception at "
        "somebody: orders cancels, fulfilment puts the mug back.",
    )
    shop.place("order-3", "mug", 12.00, card="expired")
    shop.hear("orders", "order-3 cancelled")
    shop.hear("fulfilment", "order-3 released")


def _bus_watches(shop: Shop) -> None:
    shop.screen.chapter(
        "The bus watches, too",
        "That a shelf runs low is a state, and that nothing was shipped is nothing at all: no service publishes either. A detector "
        "and an expectation do. They are documents, applied as any others:",
    )
    shop.screen.show_file(shop.watch.read_text())
    shop.apply(shop.watch)


def _service_is_killed(shop: Shop) -> None:
    placed = {"order-4": ("mug", 18.00), "order-5": ("book", 30.00), "order-6": ("mug", 21.50)}
    shop.screen.chapter(
        "Fulfilment is killed (SIGKILL), and nothing is lost",
        "Three orders come in while it is away. The others go on as if nothing had happened; the bus keeps what "
        "fulfilment is owed. And after two seconds it says of each that it was paid and has not shipped.",
    )
    shop.kill("fulfilment")
    shop.screen.say("fulfilment", "(killed)")
    for order, (item, total) in placed.items():
        shop.place(order, item, total)
    owed = 2 * len(placed)
    shop.until("the deliveries to pile up", lambda: shop.pending("fulfilment") == owed and not shop.pending("invoices"))
    shop.until("the orders to be overdue", lambda: len(_told(shop, "order.overdue")) >= len(placed))
    shop.screen.show(tables.told(_told(shop, "order.overdue")))
    shop.screen.tell(f"{owed} deliveries wait for fulfilment. It comes back, and goes on where it was:")
    shop.start("fulfilment")
    for order in placed:
        shop.hear("orders", f"{order} is on its way")
    shop.until("nothing to wait", lambda: shop.pending("fulfilment") == 0)
    shop.screen.tell(f"All {owed} have arrived, and no delivery waits any more. What the bus has to say of it:")
    shop.until("the bus to say so", lambda: _told(shop, "shelf.low") and len(_told(shop, "order.done-late")) >= len(placed))
    shop.screen.show(tables.told(_told(shop, "order.done-late", "shelf.low")))


def _told(shop: Shop, *kinds: str) -> list[Logged]:
    return [entry for entry in shop.bus.log() if entry.event["type"] in kinds]


def _rewards_comes_late(shop: Shop) -> None:
    shop.screen.chapter(
        "Rewards joins late",
        "A new team starts a fifth service. It wants paid orders of 20 and more, and those of the past as well: one "
        "rule, with a pattern and start: earliest. Nothing upstream changes.",
    )
    shop.start("rewards", is_heard=False)
    shop.screen.show_rule(
        "rewards-grant", _as_written(reckoning.created(shop.bus.log(), "rewards-grant").event["data"]["rule"])
    )
    shop.screen.pause()
    for points in ("42 points for order-1", "65 points for order-2", "30 points for order-5", "21 points for order-6"):
        shop.hear("rewards", points)
    shop.screen.tell("It caught up on 4 orders (order-4 was below 20). The next one reaches it as it happens:")
    shop.place("order-7", "book", 24.00)
    shop.hear("rewards", "24 points for order-7")
    shop.hear("orders", "order-7 is on its way")
    shop.hear("invoices", "invoice 7 for order-7")


def _as_written(rule: Mapping[str, Any]) -> dict[str, Any]:
    """The log keeps a rule with every default written out; this is what somebody would have written."""
    return {
        "pattern": rule["pattern"],
        "target": {"queue": {}},
        "start": rule["start"],
        "description": rule["description"],
        "owner": rule["owner"],
    }


def _script_joins(shop: Shop) -> None:
    shop.screen.chapter(
        "A shell script joins",
        "Nothing is needed to be a service: labels is forty lines of sh and curl. It puts a rule, fetches what has shipped, "
        "from the beginning on, prints a label, and says so in its turn.",
    )
    if not shutil.which("curl"):
        shop.screen.tell("There is no curl here, so it stays away.")
        return
    shop.start("labels", is_heard=False)
    shop.show_rules("labels")
    for number in (1, 4, 5, 6, 7):
        shop.hear("labels", f"a label for order-{number}")


def _letter_dies(shop: Shop) -> None:
    shop.screen.chapter(
        "A dead letter, and its second life",
        "Two orders are paid in money that invoices cannot read. It answers 422: trying again would not help, so the "
        "bus sets the delivery aside at once, with the reason. The other services go on.",
    )
    shop.place("order-8", "book", 55.00, currency="CHF")
    shop.place("order-9", "mug", 3.00, currency="shells")
    for order in ("order-8", "order-9"):
        shop.hear("orders", f"{order} is on its way")
    shop.until("two dead letters", lambda: len(shop.bus.dead_letters("invoices")) == 2)
    shop.screen.show(tables.dead_letters(shop.bus.dead_letters("invoices")))
    shop.screen.tell("A new release of invoices reads CHF too. It takes over, and the dead letters are redriven:")
    shop.replace("invoices", {"INVOICES_CURRENCIES": "EUR,CHF"})
    shop.bus.redrive("invoices")
    shop.hear("invoices", "invoice 8 for order-8")
    shop.until("the other to die again", lambda: shop.bus.status("invoices")["dead"] == 1 and not shop.bus.pending("invoices"))
    shop.screen.tell("order-8 is billed. The shells died again, and stay where somebody can look at them.")


def _account(shop: Shop) -> Account:
    shop.screen.chapter(
        "The account",
        "Every event that a service has published, by its own database, must be in the bus's log; every event that matches a "
        "rule must have exactly one fate, and its service must have taken it. What each rule matches is worked out here a "
        "second time.",
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
