"""What holds for all tests."""

from hypothesis import settings

settings.register_profile("long", max_examples=400)
settings.register_profile("soak", max_examples=10_000)
"""`--hypothesis-profile=soak`: laws that do not say how long they look do so a hundred times as long; `long` (`make laws`) four times."""
