"""Every secret of a rule, wherever it stands in it: so that sealing, showing, handing out and opening overlook none."""

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from eventyard.core.auth import Auth
from eventyard.core.rule import Rule
from eventyard.core.secret import Secret, replaced
from eventyard.core.signature import Signing
from eventyard.core.target import HttpTarget, Target

SIGNING = "signing/secrets"
"""What a signing secret belongs to within its rule. No header has such a name. Each may take the other's place, so both belong to the same."""

PASSWORD, BEARER, CLIENT_SECRET = "auth/basic", "auth/bearer", "auth/oauth2"


class Place(NamedTuple):
    """`name`: what a secret there belongs to within its rule (`secret.context`); `at`: the JSON pointer."""

    name: str
    at: str


Change = Callable[[Place, Secret], Secret]


def secrets_of(rule: Rule) -> list[tuple[Place, Secret]]:
    """In the order of the document."""
    found: list[tuple[Place, Secret]] = []

    def note(place: Place, secret: Secret) -> Secret:
        found.append((place, secret))
        return secret

    with_secrets(rule, note)
    return found


def with_secrets(rule: Rule, change: Change) -> Rule:
    """The rule with each of its secrets changed, in the order of `secrets_of`. Itself where it has none."""
    http = rule.target.http
    if http is None or not (http.headers or http.signing or http.auth):
        return rule
    return msgspec.structs.replace(rule, target=Target(http=_with_secrets(http, change)))


def _with_secrets(http: HttpTarget, change: Change) -> HttpTarget:
    def of_header(name: str, secret: Secret) -> Secret:
        return change(Place(name, f"/target/http/headers/{name}"), secret)

    headers = replaced(http.headers, of_header)
    signing = None if http.signing is None else _signing(http.signing, change)
    auth = None if http.auth is None else _auth(http.auth, change)
    return msgspec.structs.replace(http, headers=headers, signing=signing, auth=auth)


def _signing(signing: Signing, change: Change) -> Signing:
    return Signing(
        tuple(
            change(Place(SIGNING, f"/target/http/signing/secrets/{index}"), secret)
            for index, secret in enumerate(signing.secrets)
        )
    )


def _auth(auth: Auth, change: Change) -> Auth:
    """Of the three one is there."""
    at = "/target/http/auth"
    if auth.basic is not None:
        password = change(Place(PASSWORD, f"{at}/basic/password"), auth.basic.password)
        return Auth(basic=msgspec.structs.replace(auth.basic, password=password))
    if auth.bearer is not None:
        return Auth(bearer=change(Place(BEARER, f"{at}/bearer"), auth.bearer))
    if auth.oauth2 is not None:
        secret = change(Place(CLIENT_SECRET, f"{at}/oauth2/client_secret"), auth.oauth2.client_secret)
        return Auth(oauth2=msgspec.structs.replace(auth.oauth2, client_secret=secret))
    return auth


def shown(rule: Rule) -> Rule:
    """As anybody is told it: without what is secret."""
    return with_secrets(rule, lambda _place, _secret: Secret(None))
