"""Readers of the log: pages, backtests, explanations, stories."""

EXPLAINED_PATTERN_BYTES = 1024 * 1024
"""Patterns that one page of explanations is judged by, at least one rule's: a thousand large ones. Why one does not match costs some
fifteen times what it costs to find that out."""

EXPLAINED_ROWS_PER_RULE = 10
"""Edits and deliveries of a rule that a page of explanations is cut for. Where rules have more the page holds fewer of them."""

EXPLAINED_RUNS_MAX = 20
"""Deliveries of one event to one rule that an explanation tells, the last ones: each replay makes one more."""

EXPLAINED_NAMESAKES_MAX = 100
"""Rules of one name, one after the other, that an explanation by name tells of, the last ones."""

STORY_EVENTS_MAX = 5_000
"""Events that one story goes through, however it is paged: each is two look-ups, so half a second of reading at the most. A story is to be
read; what is longer is cut, and says so."""

STORY_DELIVERIES_MAX = 50
"""Deliveries of one event that a story tells, the first ones; `explain` tells all."""

PAGE_MAX = 1_000
"""Events, rules or dead letters in one answer; `next` continues."""

SCAN_EVENTS_AT_ONCE = 50
"""Events that a scan holds in memory before it has judged them: 50 MiB of the largest, a millisecond's work of usual ones."""

SCAN_EVENTS_MAX = 5_000
"""Events that one filtered history request looks at before it answers with what it found and where to go on."""

BACKTEST_EVENTS_MAX = 20_000
BACKTEST_MS_MAX = 250
"""What one request of a backtest looks at, whichever ends first: the caller sees it go on several times a second, and another backtest
has its turn on the one thread of them all. At least one event is judged, however long that takes."""

BACKTEST_RULES_MAX = 100
BACKTEST_BYTES_MAX = 1024 * 1024
"""Patterns of one request, and bytes of their documents: more rules than a team keeps, judged in one pass over the log. Those of a larger
folder take a pass for each hundred."""

BACKTEST_FIELDS_MAX = 10_000
"""Fields of all these patterns and those in force beside them, counted in every alternative: what one pattern may have. Tables of so many are
made in a second or two, once. A single pattern is taken whatever the one in force has."""

BACKTEST_SAMPLES_MAX = 100
"""Positions of each kind that one answer tells of a rule: what a person may look through."""

BACKTEST_GAPS_MAX = 100
BACKTEST_DAYS_MAX = 366
"""Stretches that cannot be read, and days, after which an answer ends and tells where to go on: it stays small whatever the log is like."""

BACKTESTS_WAITING_MAX = 20
"""Requests that wait for that thread: five seconds at the worst, as long as one rule on one event is quick."""

REHEARSED_KEYS_MAX = 100_000
REHEARSED_DUE_SPARE = 1_000
"""Keys that a backtest of a detector knows of, some 500 bytes each and twice where a version is in force: 100 MB. Past it new keys are counted and
passed over, as past `max_keys`. And timers of its that may be out of date before they are looked through."""

REHEARSALS_KEPT_MAX = 2
REHEARSAL_IDLE_S = 5.0
"""Backtests of detectors under way at once, 200 MB of keys at the worst; and after so long without a question one makes room for another. A client asks several times a
second."""

REHEARSED_KEYS_TOLD_MAX = 100
"""Keys that an answer tells of, those first of which most differs or was told."""
