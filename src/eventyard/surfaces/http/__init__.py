"""The HTTP door. `app` is the ASGI application, `Server` runs it, `Certificates` are what it speaks TLS with."""

from eventyard.surfaces.http.application import app
from eventyard.surfaces.http.server import Server
from eventyard.surfaces.http.tls import Certificates

__all__ = ["Certificates", "Server", "app"]
