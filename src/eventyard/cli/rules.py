"""`eventyard rules`: who gets which events."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from eventyard.cli import asking
from eventyard.cli.exits import Exit
from eventyard.cli.failures import Failure
from eventyard.cli.inputs import read_json
from eventyard.cli.options import DEFAULT_URL, Bus, Json, RuleName, Sure, Url, connect
from eventyard.cli.patterns import compose
from eventyard.cli.places import place, place_document
from eventyard.cli.screen import Screen

if TYPE_CHECKING:
    from eventyard.client import Rule, RuleStatus

WATCH_S = 2.0

app = typer.Typer(help="Rules: which events go where. A rule is a subscription with its own queue.")


@app.command("list")
def list_(*, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """List the rules of a bus by name.

    Example:
      eventyard rules list

    Next: eventyard rules status RULE

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        rules = list(client.rules(bus=bus))
    for rule in rules:
        screen.document(rule)
    if not rules:
        screen.say(f'no rules on bus "{bus}" yet')
        screen.advise("eventyard rules put NAME --type TYPE --to URL")
        return Exit.OK
    rows = [(rule.name, _state(rule), rule.pattern_json.decode(), _target(rule)) for rule in rules]
    screen.table(("rule", "state", "pattern", "target"), rows, whole=("rule", "state"))
    return Exit.OK


def _target(rule: "Rule") -> str:
    if "bus" in rule.target:
        return f"bus {rule.target['bus']['name']}"
    return "its queue" if "queue" in rule.target else rule.target_url


def _state(rule: "Rule") -> str:
    return "paused" if rule.state.paused else rule.state.status


@app.command("show")
def show(name: RuleName, *, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Show one rule's document and state. Its JSON can be edited and given to `rules put`.

    Example:
      eventyard rules show rewards --json > rewards.json

    Next: eventyard rules put RULE rewards.json

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        rule = client.rule(name, bus=bus)
    screen.document(rule)
    screen.pairs(_rows(rule))
    return Exit.OK


def _rows(rule: "Rule") -> list[tuple[str, Any]]:
    def text(value: Any) -> str:
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()

    return [
        ("rule", rule.name),
        ("description", rule.description or None),
        ("owner", rule.owner or None),
        ("pattern", rule.pattern_json.decode()),
        ("target", text(rule.target)),
        ("start", text(rule.start)),
        ("delivery", text(rule.delivery)),
        ("answers", _answers(rule)),
        ("replay", rule.replay),
        ("state", _state(rule)),
        ("created", rule.state.created),
        ("changed", f"{rule.state.changed} (version {rule.state.version})"),
    ]


def _answers(rule: "Rule") -> str | None:
    """The lines of the answer table that the rule has written anew."""
    lines = [f"{status}: {means}" for status, means in rule.delivery.get("answers", {}).items()]
    return ", ".join(lines) + "; else as usual" if lines else None


@app.command("put")
def put(
    name: RuleName,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE|-]", help="The rule's JSON document; - is standard input.")
    ] = None,
    *,
    to: Annotated[str | None, typer.Option("--to", metavar="URL", help="Push matching events to this address.")] = None,
    queue: Annotated[
        bool, typer.Option("--queue", help="Keep matching events in a queue, for consumers that receive.")
    ] = False,
    type_: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Match events of this type. May be repeated.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option("--source", metavar="URI", help="Match events of this source. May be repeated.")
    ] = None,
    pattern: Annotated[
        str | None, typer.Option("--pattern", metavar="JSON", help="Match this pattern: JSON, @FILE, or -.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="WHERE", help="latest (default), earliest, resume, a position, or a time.")
    ] = None,
    description: Annotated[str | None, typer.Option("--description", metavar="TEXT", help="What the rule is for.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", metavar="TEXT", help="Who answers for it.")] = None,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Create or change a rule, from a JSON document or from flags. Nothing upstream has to be told.

    Example:
      eventyard rules put rewards --type order.paid --to http://127.0.0.1:9005/
      eventyard rules put packing --type order.paid --queue
      eventyard rules put rewards rewards.json

    Next: eventyard rules status RULE

    """
    screen = Screen(as_json=as_json)
    flags = {"description": description, "owner": owner, "start": start}
    if file is not None:
        _refuse_flags({"to": to, "queue": queue, "type": type_, "source": source, "pattern": pattern, **flags})
        document = _document(read_json(file if file == "-" else f"@{file.removeprefix('@')}", what="the rule"))
    else:
        document = _composed(_chosen(to, is_queue=queue), compose(pattern, type_ or [], source or []), flags)
    with connect(url) as client:
        rule = client.put_rule(name, document, bus=bus)
    screen.document(rule)
    what = "created" if rule.state.uid == rule.state.version else f"changed (version {rule.state.version})"
    screen.say(f"rule {rule.name} {what}: {rule.pattern_json.decode()} -> {_target(rule)}")
    for warning in rule.warnings or ():
        screen.note(f"warning: {warning}")
    screen.advise(f"eventyard rules status {name}{'' if bus == 'default' else f' --bus {bus}'}")
    return Exit.OK


def _refuse_flags(flags: dict[str, Any]) -> None:
    if given := [name for name, value in flags.items() if value]:
        raise Failure(f"found a file and --{given[0]}", advice="put it into the file, or leave the file out")


def _document(text: bytes) -> bytes:
    """What `rules show --json` gives is taken too: the name and state that it adds are no part of the document."""
    try:
        members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return text  # The server says what is wrong with it.
    if not {"name", "state"} & members.keys():
        return text
    return msgspec.json.encode({name: value for name, value in members.items() if name not in {"name", "state"}})


def _chosen(to: str | None, *, is_queue: bool) -> dict[str, Any]:
    """The target that the flags name."""
    if (to is not None) == is_queue:
        found = "found --to and --queue" if is_queue else "found no --to and no --queue"
        raise Failure(found, advice="give a file, or one of them with --type, --source or --pattern")
    return {"queue": {}} if is_queue else {"http": {"url": to}}


def _composed(target: dict[str, Any], pattern: bytes | None, flags: dict[str, Any]) -> bytes:
    if pattern is None:
        raise Failure(
            "found no --type, --source or --pattern",
            advice="give a file, or --to or --queue with --type, --source or --pattern",
        )
    document: dict[str, Any] = {"pattern": msgspec.Raw(pattern), "target": target}
    document |= {name: value for name, value in flags.items() if value is not None}
    if flags["start"] is not None:
        document["start"] = place_document(flags["start"])
    return msgspec.json.encode(document)


@app.command("status")
def status(
    name: RuleName,
    *,
    is_watched: Annotated[bool, typer.Option("--watch", help="Look again every two seconds, until Ctrl-C.")] = False,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Show where a rule's queue stands: what waits, is under way, was delivered, and is dead.

    Example:
      eventyard rules status rewards

    Next, when some are dead: eventyard dead-letters list RULE

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        found = client.status(name, bus=bus)
        while is_watched:
            screen.clear()
            _show_status(screen, found)
            time.sleep(WATCH_S)
            found = client.status(name, bus=bus)
    _show_status(screen, found)
    if found.dead:
        screen.advise(f"eventyard dead-letters list {name}{'' if bus == 'default' else f' --bus {bus}'}")
    return Exit.OK


def _show_status(screen: Screen, found: "RuleStatus") -> None:
    screen.document(found)
    screen.pairs(_status_rows(found))


def _status_rows(found: "RuleStatus") -> list[tuple[str, Any]]:
    return [
        ("rule", found.name),
        ("state", "paused" if found.paused else found.status),
        ("failing since", found.failing_since),
        ("handshake", _handshake(found)),
        ("breaker", _breaker(found)),
        ("waits for", _waits(found)),
        ("run", str(found.run) if found.run else None),
        ("lag", found.lag),
        (
            "oldest",
            None if found.oldest_age_s is None else f"position {found.oldest_position}, {found.oldest_age_s:.0f} s ago",
        ),
        ("waiting", found.waiting),
        ("retrying", found.retrying),
        ("under way", found.leased),
        ("behind their key", found.blocked),
        ("of them parked", f"{found.parked} behind {found.parked_keys} dead keys" if found.parked_keys else 0),
        ("delivered", found.delivered),
        ("dead", found.dead),
        ("discarded", found.discarded),
        ("backfill at", None if found.backfill_position is None else str(found.backfill_position)),
    ]


def _breaker(found: "RuleStatus") -> str | None:
    """Nothing where it is as it should be."""
    breaker, until = found.protection.breaker, found.protection.until
    return None if breaker in {None, "closed"} else f"{breaker}, until {until}" if until else breaker


def _handshake(found: "RuleStatus") -> str | None:
    told = found.protection.handshake
    if told is None:
        return None
    rate = f", {told.rate_per_minute} requests a minute" if told.rate_per_minute is not None else ""
    return f"{told.state}{rate}{f': {told.why}' if told.why else ''}"


def _waits(found: "RuleStatus") -> str | None:
    waits_for, until = found.protection.waits_for, found.protection.waits_until
    if waits_for is None:
        return None
    said = _WAITS.get(waits_for, waits_for)
    return f"{said}, until {until}" if until else said


_WAITS = {
    "handshake": "its target, which has not agreed to be pushed to",
    "breaker": "its breaker",
    "slow-start": "its slow start",
    "retry-after": "its target, which asked for quiet",
    "rate": "its rate",
    "host": "the host of its target",
}


@app.command("seek")
def seek(
    name: RuleName,
    to: Annotated[str, typer.Argument(metavar="WHERE", help="latest, earliest, a position, a time, or 90s, 15m, 2h, 3d ago.")],
    *,
    bus: Bus = "default",
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Have a rule go on at another place of the log, back or forward. What it still owes is discarded.

    Example:
      eventyard rules seek rewards 2026-01-31T08:00:00Z
      eventyard rules seek rewards latest

    Next: eventyard rules status RULE

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        rule = client.seek(name, place(to), bus=bus)
    screen.document(rule)
    screen.say(f"rule {rule.name} goes on in run {rule.state.run}")
    screen.advise(f"eventyard rules status {name}{'' if bus == 'default' else f' --bus {bus}'}")
    return Exit.OK


@app.command("pause")
def pause(name: RuleName, *, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Stop delivering for a rule. What matches meanwhile waits in its queue.

    Example:
      eventyard rules pause rewards

    Next: eventyard rules resume RULE

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        rule = client.pause(name, bus=bus)
    screen.document(rule)
    screen.say(f"rule {rule.name} is paused; what matches waits")
    return Exit.OK


@app.command("resume")
def resume(name: RuleName, *, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False) -> int:
    """Go on delivering for a paused rule, with what waited first.

    Example:
      eventyard rules resume rewards

    Next: eventyard rules status RULE

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        rule = client.resume(name, bus=bus)
    screen.document(rule)
    screen.say(f"rule {rule.name} delivers again")
    return Exit.OK


@app.command("delete")
def delete(
    name: RuleName, *, is_sure: Sure = False, bus: Bus = "default", url: Url = DEFAULT_URL, as_json: Json = False
) -> int:
    """Delete a rule. What its queue still holds is discarded; the events stay in the log.

    On a terminal it asks first.

    Example:
      eventyard rules delete rewards

    Next: eventyard rules list

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        if not (is_sure or asking.perhaps(lambda: _loss(client.status(name, bus=bus)))):
            screen.note("nothing was deleted")
            return Exit.NO
        client.delete_rule(name, bus=bus)
    screen.document({"deleted": name})
    screen.say(f"rule {name} is deleted")
    return Exit.OK


def _loss(status: "RuleStatus") -> str:
    return f"delete the rule {status.name}, with {status.lag} events that it is owed and {status.dead} dead letters?"
