"""The HTTP door. `app` is the ASGI application, `server` runs it."""

from eventyard.surfaces.http.application import app
from eventyard.surfaces.http.server import Server

__all__ = ["Server", "app"]
