"""Replays, redrives and trials."""

RESUMED_MAX = 100
"""Deleted rules of one name that a rule goes on for at once, each looked at for every event that they may have had."""

REPLAYS_PER_RULE_MAX = 10
"""Replays of one rule under way at once. Each keeps up to BACKFILL_UNSETTLED_MAX deliveries pending."""

REPLAYS_KEPT_MAX = 20
"""Ended replays that a rule remembers, so that their outcome can be asked for."""

TRIAL_LETTERS_MAX = 20
"""Dead letters that one request tries on another target: enough to see whether it takes them."""

TRIALS_UNDER_WAY_MAX = 200
"""Dead letters being tried at once, each an event in memory and a connection beside those of pushes."""

REPLAY_PER_S_MIN = 0.001
"""One in a quarter of an hour: slower is no pace but a forgotten replay, and a rate near nothing is a time that no clock reaches."""

PACED_AHEAD_MS_MAX = 10 * 365 * 24 * 60 * 60 * 1000
"""How far ahead a paced delivery may fall due: however many events and however slow, it stays a date that can be written."""

REPLAY_PER_S_MAX = 100_000
"""Deliveries a second that a throttled replay or redrive may ask for: past this there is no throttle."""

REDRIVE_IDS_MAX = 1_000
"""Dead letters named in one redrive, which is one step; `all` has no bound, for it moves in many."""
