"""`eventyard queue`: take deliveries from a rule that is pulled, and say what became of them."""

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.options import DEFAULT_URL, Bus, Json, RuleName, Url, connect
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.client import Client, Delivery, Settled

app = typer.Typer(help="Queues: deliveries of rules that are pulled. Rules get a queue by: eventyard rules put RULE --queue")

AT_ONCE = 1_000
"""Leases in one request: what the server takes."""

Leases = Annotated[list[str], typer.Argument(metavar="LEASE...", help="Leases, as receive shows them; - reads lines.")]


@app.command("receive")
def receive(
    name: RuleName,
    *,
    max_: Annotated[int, typer.Option("--max", metavar="NUMBER", min=1, max=1_000, help="At most so many.")] = 10,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, max=60, help="Where there are none, wait for the first.")
    ] = 0.0,
    lease: Annotated[
        float | None, typer.Option("--lease", metavar="SECONDS", help="Lease them for so long; else as the rule says.")
    ] = None,
    ack: Annotated[bool, typer.Option("--ack", help="Acknowledge what was printed.")] = False,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Lease deliveries of a rule and print them. With --json each is a line.

    Example:
      eventyard queue receive packing --wait 20
      eventyard queue receive packing --ack --json

    Next: eventyard queue acknowledge RULE LEASE...

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        deliveries = client.receive(name, bus=bus, max=max_, wait_s=wait, lease_s=lease)
        _show(screen, deliveries)
        if ack and deliveries:
            _tell_lost(screen, client.acknowledge(name, deliveries, bus=bus))
    if not deliveries:
        screen.say(f"rule {name} has nothing to give")
        return Exit.NO
    if not ack:
        screen.advise(f"eventyard queue acknowledge {name} {deliveries[0].lease}")
    return Exit.OK


def _show(screen: Screen, deliveries: "list[Delivery]") -> None:
    for delivery in deliveries:
        screen.document(delivery)
    if deliveries:
        rows = [
            (delivery.lease, delivery.attempt, delivery.position, delivery.event["type"], delivery.event["id"])
            for delivery in deliveries
        ]
        screen.table(("lease", "attempt", "position", "type", "id"), rows, whole=("lease", "attempt", "position"))


def _tell_lost(screen: Screen, results: "list[Settled]") -> None:
    """What was printed and yet could not be acknowledged: somebody else will get it too."""
    for result in results:
        if not result.ok:
            screen.remark(f"lease {result.lease} was not acknowledged: {result.reason}", result)


@app.command("acknowledge")
def acknowledge(name: RuleName, leases: Leases, *, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Say that leased deliveries are done.

    Example:
      eventyard queue acknowledge packing 5f0c1d2e-3-17-0-1

    Next: eventyard rules status RULE

    """
    return _settle(url, leases, lambda client, part: client.acknowledge(name, part, bus=bus), as_json=as_json)


@app.command("release")
def release(
    name: RuleName,
    leases: Leases,
    *,
    delay: Annotated[float, typer.Option("--delay", metavar="SECONDS", min=0, help="Not before so long.")] = 0.0,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Give leased deliveries back, to be given out again.

    Example:
      eventyard queue release packing 5f0c1d2e-3-17-0-1 --delay 60

    Next: eventyard queue receive RULE

    """
    return _settle(url, leases, lambda client, part: client.release(name, part, delay_s=delay, bus=bus), as_json=as_json)


@app.command("reject")
def reject(
    name: RuleName,
    leases: Leases,
    *,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; the dead letter keeps it.")] = "",
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Say that leased deliveries can never be done. They become dead letters.

    Example:
      eventyard queue reject packing 5f0c1d2e-3-17-0-1 --reason 'no address'

    Next: eventyard dead-letters list RULE

    """
    return _settle(url, leases, lambda client, part: client.reject(name, part, reason=reason, bus=bus), as_json=as_json)


@app.command("renew")
def renew(
    name: RuleName,
    leases: Leases,
    *,
    lease: Annotated[
        float | None, typer.Option("--lease", metavar="SECONDS", help="So long from now; else as the rule says.")
    ] = None,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Have leases begin anew, for work that takes longer.

    Example:
      eventyard queue renew packing 5f0c1d2e-3-17-0-1 --lease 600

    Next: eventyard queue acknowledge RULE LEASE...

    """
    return _settle(url, leases, lambda client, part: client.renew(name, part, lease_s=lease, bus=bus), as_json=as_json)


def _settle(url: str, leases: list[str], settle: "Callable[[Client, Iterable[str]], list[Settled]]", *, as_json: bool) -> int:
    """Say it of all of them. Ends in NO where it does not count for some."""
    screen = Screen(as_json=as_json)
    rows = screen.rows(("lease", "ok", "reason"))
    is_ok = True
    with connect(url) as client:
        for part in _parts(_named(leases)):
            results = settle(client, part)
            for result in results:
                screen.document(result)
            rows.write([(result.lease, result.ok, result.reason) for result in results])
            is_ok = is_ok and all(result.ok for result in results)
    return Exit.OK if is_ok else Exit.NO


def _named(leases: list[str]) -> Iterator[str]:
    named = [line.strip() for line in sys.stdin] if leases == ["-"] else leases
    if not any(named):
        raise Failure("found no leases on standard input", advice="give leases, one a line")
    yield from filter(None, named)


def _parts(leases: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(leases)
    while part := list(islice(remaining, AT_ONCE)):
        yield part
