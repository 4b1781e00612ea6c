"""The engine that keeps everything in one SQLite file. `engine` tells how."""

from eventyard.engines.sqlite.engine import SqliteEngine
from eventyard.engines.sqlite.files import DATABASE
from eventyard.engines.sqlite.hold import Hold, hold
from eventyard.engines.sqlite.remade import REMADE, open_remade

__all__ = ["DATABASE", "REMADE", "Hold", "SqliteEngine", "hold", "open_remade"]
