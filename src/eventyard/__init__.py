"""Eventyard: a self-hosted, durable event bus. See docs/concepts.md for the words, docs/internals for the house."""

__version__ = "0.1.0"
