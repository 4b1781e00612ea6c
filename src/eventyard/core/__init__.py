"""The pure core: values in, values out. No I/O, no clock, no chance, no asyncio (import-linter holds this)."""
