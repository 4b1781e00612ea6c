"""`eventyard secrets`: the key by which what is secret in rules is kept, and secrets to sign pushes with."""

import secrets
from typing import Annotated

import typer

from eventyard.cli.exits import Exit
from eventyard.cli.options import DEFAULT_URL, Json, Url, connect
from eventyard.cli.screen import Screen

app = typer.Typer(help="Secrets in rules: seal them with a new key, make one to sign pushes with.")


@app.command("new")
def new(*, as_json: Json = False) -> int:
    """Print a new secret to sign pushes with. It is made here, and no server is asked.

    Example:
      eventyard secrets new > signing.secret

    Next: put it into a rule as target.http.signing.secrets

    """
    from eventyard.core import limits, signature  # noqa: PLC0415 - heavy, see the package

    screen = Screen(as_json=as_json)
    secret = signature.new_secret(secrets.token_bytes(limits.SIGNING_SECRET_BYTES_NEW))
    screen.document({"secret": secret})
    screen.say(secret)
    return Exit.OK


@app.command("rotate")
def rotate(
    *,
    forget_old: Annotated[
        bool, typer.Option("--forget-old", help="Throw the old keys away; backups made before lose their secrets.")
    ] = False,
    url: Url = DEFAULT_URL,
    as_json: Json = False,
) -> int:
    """Seal what is secret in rules with a new key. The server makes it and writes it to its key file.

    Example:
      eventyard secrets rotate

    Next: copy the key file to where you keep it, apart from the backups

    """
    screen = Screen(as_json=as_json)
    with connect(url) as client:
        rotated = client.rotate_secrets(forget_old=forget_old)
    screen.document(rotated)
    screen.say(f"the new key is {rotated.key}; secrets sealed with it: {rotated.resealed}")
    screen.say("Copy the server's key file to where you keep it, apart from the backups.")
    if rotated.forgotten:
        screen.say(f"old keys thrown away: {rotated.forgotten}")
    if rotated.lost:
        screen.say(f"secrets that cannot be opened: {rotated.lost}, so no key was thrown away; put their rules again")
    return Exit.OK
