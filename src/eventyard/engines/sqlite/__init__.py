"""The engine that keeps everything in one SQLite file. `engine` tells how."""

from eventyard.engines.sqlite.engine import SqliteEngine
from eventyard.engines.sqlite.files import DATABASE
from eventyard.engines.sqlite.hold import Hold, hold

__all__ = ["DATABASE", "Hold", "SqliteEngine", "hold"]
