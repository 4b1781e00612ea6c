"""What protects a target, and what is told of one that fails."""

from eventyard.core.limits.runs import REPLAY_PER_S_MAX, REPLAY_PER_S_MIN

RATE_PER_S_MIN = REPLAY_PER_S_MIN
RATE_PER_S_MAX = REPLAY_PER_S_MAX
"""What a rule or a host may be slowed down to, for the reasons of replays."""

RATE_AHEAD_S = 0.1
"""How much of its rate a rule that has rested may send at once, at least one delivery: what a step that comes late may make good. So in any
second no more than a tenth above the rate goes out."""

PAUSE_AFTER_S_DEFAULT = 5 * 24 * 3600.0
PAUSE_ATTEMPTS_MIN = 10
"""A rule of which so many attempts failed, and none went well, for so long (each rule may say otherwise) is paused: five days are a long weekend and the
time to notice, and two events of which each failed, a week apart, are no proof. Svix and Stripe give up in that time."""

BREAKER_WINDOW_S_MAX = 3_600
BREAKER_REQUESTS_MAX = 100_000
"""A breaker looks back an hour at the most, and counts no more: past this it would not notice before everybody else has."""

BREAKER_OPEN_S_MAX = 3_600
"""What a rule may ask for as the time that a breaker is open first, and for its slow start."""

BREAKER_OPENS_S_MAX = 300
"""A breaker that opens again and again stays open for so long at the most (or for what the rule asks first, if that is more): a target that comes
back after a night is found within five minutes, by one probe for each rule."""

HOLD_MS_MAX = 10 * 60 * 1000
"""For so long a target's `Retry-After` keeps the whole rule waiting: an hour out of a confused proxy costs six requests, and no more events wait
for it than that. The one delivery that it answered waits for as long as it said."""

SLOW_START_PART_MIN = 0.1
"""A slow start begins with a tenth: one of ten under way, a tenth of the rate; with nothing it would not begin."""

TROUBLE_TOLD_EVERY_MS = 1_000
TROUBLE_RESTS_MS_MAX = 60_000
"""A rule that begins to fail, or recovers, says so at most this often. One that flaps says it more and more rarely: each time that it fails
again soon the rest is twice as long, up to a minute. So a target that fails one time in a hundred for a day is some 3,000 events, not 170,000."""

DEAD_LETTERS_TOLD_EACH = 10
DEAD_LETTERS_TOLD_EVERY_MS = 60_000
"""Dead letters of a rule that are told one by one within a minute; further ones are told by one event a minute. Ten is what
somebody who is alerted may read; a thousand dead letters say no more than their number does."""

REPLIES_REFUSED_TOLD_EACH = 10
REPLIES_REFUSED_TOLD_EVERY_MS = 60_000
"""Refused replies of a rule that are told one by one within a minute, and as dead letters summed from there on: a service that answers each of a thousand pushes a
second with what is no event would fill the log with what its first ten say."""

TROUBLE_EVENTS_PER_STEP = 100
"""Events of trouble that one step appends, whatever it learns: each is matched and put like any other. What is left waits."""

FAILURE_TOLD_CHARACTERS = 200
"""How much of what went wrong is told in an event of trouble, and kept of a rule that fails: a phrase."""
