"""Engines keep what is committed. `memory` is the readable reference; `sqlite` is one file on disk."""
