"""Access keys, and the key that seals secrets."""

from eventyard.core import errors
from eventyard.core.access import Scope
from eventyard.surfaces.http import keys, secrets
from eventyard.surfaces.http.route import Route, json_body

ROUTES = (
    Route(
        "GET",
        "/v1/keys",
        keys.keys,
        "List the access keys, without what would open anything",
        ((200, keys.KeysAnswer, "By the time when they were made"),),
        scope=Scope.MANAGE,
    ),
    Route(
        "POST",
        "/v1/keys",
        keys.create_key,
        "Make an access key; it is shown this once",
        ((201, keys.NewKeyAnswer, "Made"),),
        (errors.InvalidName,),
        body=json_body(keys.KeyPost),
        scope=Scope.MANAGE,
    ),
    Route(
        "DELETE",
        "/v1/keys/{key}",
        keys.revoke_key,
        "Revoke a key: it opens nothing any more",
        ((204, None, "Revoked, or it was"),),
        (errors.NotFound,),
        scope=Scope.MANAGE,
    ),
    Route(
        "POST",
        "/v1/secrets/rotate",
        secrets.rotate,
        "Seal what is secret in rules with a new key",
        ((200, secrets.RotatedAnswer, "The new key's name, and what was sealed with it"),),
        (errors.StorageFull, errors.StoreBehind),
        body=json_body(secrets.Rotate, is_required=False),
        scope=Scope.MANAGE,
    ),
)
