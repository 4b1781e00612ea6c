"""Schedules."""

SCHEDULES_PER_BUS_MAX = 1_000
"""Schedules on one bus: each is held in memory and looked at ten times a second for whether it is due."""

SCHEDULE_BYTES_MAX = 64 * 1024
"""A schedule's document: most of it is the data of the event that it publishes."""

CRON_LENGTH_MAX = 250
"""A cron expression: every minute of an hour listed, and room to spare."""

ZONE_LENGTH_MAX = 64
"""The name of a time zone: twice the longest that there is."""

SCHEDULE_INTERVAL_S_MAX = 10 * 366 * 86_400
"""From one instant of a schedule to the next: ten years."""

SCHEDULE_JITTER_S_MAX = 86_400
"""What a schedule may spread its instants by: a day, as a window of the night is shorter."""

SCHEDULE_GRACE_MS = 60_000
"""An instant is missed when the bus comes to it later than this: longer than a restart takes, shorter than what a person calls late."""

SCHEDULE_MISSED_MAX = 1_000
"""Of the instants that were missed in a row, at most so many are published by `misfire: all`, the oldest first: three years of a daily
schedule, and no night of one that runs every second."""

SCHEDULE_INSTANTS_PER_STEP = 100
"""Instants that one step of the machine looks at, over all schedules of a bus: each costs some 0.3 ms, its event included, and publishers wait for
the step."""

SCHEDULE_INSTANTS_AT_EDIT = 200
"""Instants that an edit of a schedule still looks at when those that were long missed are passed over: more than a minute has, one a second, with
room for what is spread out."""
