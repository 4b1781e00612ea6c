"""Every limit of the house, each with its reason. A limit that an operator may change says so.

Sizes are bytes, durations carry their unit in the name.
"""

EVENT_BYTES_MAX = 1024 * 1024
"""One event in its structured form. EventBridge and SQS take 256 KiB to 1 MiB; NATS' default payload is 1 MiB. More
belongs in an object store with its address in the event."""

BATCH_EVENTS_MAX = 1_000
"""Events in one publish request: bounds the work of one commit and the answer's size."""

BATCH_BYTES_MAX = 8 * 1024 * 1024
"""Bytes of one publish request: what one caller may make the bus hold before it has said anything."""

# The machine

CLOCK_JUMP_MS_MAX = 10 * 60 * 1000
"""A forward step of the wall clock that a running bus still believes: more than any leap or slow NTP correction, less than
what would end a dedup window or a retention period by mistake."""

DEDUP_WINDOW_MS = 24 * 60 * 60 * 1000
DEDUP_WINDOW_IDS = 10_000_000
"""The window in which the same source and id are one event: whichever ends first. A day covers producers that retry over
a night; ten million ids at about two bytes each keep the filters near 20 MB a bus."""

MATCHES_PER_EVENT_MAX = 10_000
"""Rules that one event may match. One event is one atomic step, and a step is bounded; ten thousand deliveries are about a
tenth of a second of writing. An event that matches more is refused, never half routed. Those that the bus publishes of itself are not
refused, or a rule that too many follow could not be deleted: each may be a delivery for every rule of its bus."""

RULES_PER_BUS_MAX = 100_000
"""Rules on one bus: each is held in memory, with its pattern some 4 KB, and read at a start in 0.1 ms. Nothing else goes by how many
there are (`tests/stages/test_many_rules.py`)."""

DECLARED_VALUES_MAX = 1_000_000
DECLARED_BYTES_MAX = 64 * 1024 * 1024
"""One file of buses and rules, as `apply` reads it: tens of thousands of rules, more are several files; a few lines of YAML that mean
billions of values end here."""

BUSES_MAX = 10_000
"""Buses in one file: each holds its rules in memory."""

BUS_NUMBER_MAX = 2**19 - 1
"""Creations and deletions of buses over the life of a store: a bus's number shares 63 bits with positions up to 2^44."""

HOPS_MAX_DEFAULT = 16
"""How many events may come of one another, by default: an operator may change it. Longer chains than a dozen services are hardly ever meant, and
a loop that makes two of each event is at 65,000 by then; AWS Lambda ends loops at 16, too."""

HOPS_MAX = 1_000
"""The most that an operator may allow: a loop is to end some time."""

FORWARD_PUT_OFF_MS = 100
"""What another bus here has no room for is tried again so soon, uncounted: as a producer that is told so would."""

REPLY_BYTES_MAX = 256 * 1024
"""One reply, as EventBridge takes one event. It is in memory from the answer to its step, and thousands may be under way."""

REPLIES_PER_STEP_BYTES = 4 * 1024 * 1024
"""Of replies whose verdicts are taken into one step, or one report of a worker: past it the next one has the rest."""

STEP_EVENTS_MAX = 2_000
STEP_BYTES_MAX = 16 * 1024 * 1024
STEP_CHANGES_MAX = 20_000
"""One step of one bus is cut at whichever comes first, so that a commit stays in the tens of milliseconds."""

LEASES_PER_STEP_MAX = 5_000
"""Deliveries of one run read for leases in one step: ten consumers' batches of 500."""

QUEUES_PER_STEP_MAX = 200
"""Queues that one step reads for leases: some 0.2 ms each. With thousands of rules of which each has a little, a step that gave out all that
was wanted took a second, and whoever published meanwhile waited for it."""

SHARE_BESIDE_PUBLISHERS = 100
SHARE_PER_EVENT = 4
"""Verdicts, and leases of what waits, that a step takes while somebody publishes in it: a hundred, or so many for each event, that a
consumer's five hundred are not waited for by everybody, and that those who publish much do not leave their consumers behind."""

INBOX_COMMANDS_MAX = 10_000
INBOX_BYTES_MAX = 64 * 1024 * 1024
"""What may wait for the writer in memory; past it a caller is told to come back. About a second of full speed."""

BACKFILL_EVENTS_PER_STEP = 500
BACKFILL_UNSETTLED_MAX = 10_000
"""A late rule is fed at most this much ahead of its consumer: memory and queue tables stay small however long the log is."""

LIVE_BACKLOG_MAX = 100_000
"""Deliveries that a live rule may have pending: some 20 MB of table, and 25 MB of memory where it keeps order. Past it the rule leaves
the live index and is fed by a backfill until it has caught up; far more than a backfill keeps ahead, so that no rule goes to and fro."""

BACKFILL_LAST_STRETCH = 100
"""When no more than this many events are left, they and the switch to live are one step of the writer."""

INTENT_ROWS_PER_STEP = 500
"""Deliveries that one bounded step redrives or discards: a few milliseconds of writing between two publishes."""

RETAIN_POSITIONS_PER_STEP = 1_000
"""Events that one step of retention looks at and removes: a few milliseconds of writing between two publishes."""

RULES_LOOKED_AT_PER_STEP = 500
"""Rules whose backlogs and dead letters one step of retention looks at: some 50 ms of reading, beside which leases are taken back."""

RETENTION_AGE_S_DEFAULT = 7 * 24 * 3600.0
RETENTION_BYTES_DEFAULT = 10 * 1024**3
"""What a bus keeps of its log: a week, or 10 GiB of events, whichever is less. An operator sets both per bus."""

DEAD_LETTERS_S_DEFAULT = 30 * 24 * 3600.0
"""How long dead letters live. An operator sets it per bus."""

BACKLOG_BYTES_DEFAULT = 10 * 1024**3
BACKLOG_AGE_S_DEFAULT = 7 * 24 * 3600.0
"""What may wait for one rule: as much as a bus keeps of its log. Each rule may set its own."""

PARKED_BEHIND_MAX = 10_000
"""Deliveries of one rule that may wait behind dead ones of their keys; past it the oldest are discarded, loudly. So one poisoned key
of a busy rule costs bounded memory while the others flow."""

PARKED_KEYS_MAX = 100_000
"""Keys of one rule that may be parked, about 250 bytes each. When so many are dead it is the consumer that is broken: the rule is
paused, loudly, and nothing is lost."""

TOMBSTONE_S = 30 * 24 * 60 * 60
"""How long the name of a deleted rule remembers where it stood: as long as dead letters live."""

TOMBSTONES_MAX = 10_000
"""Deleted rules remembered on one bus, about 200 bytes each; past it the oldest are forgotten."""

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

# Protection

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

# Trouble

TROUBLE_TOLD_EVERY_MS = 1_000
TROUBLE_RESTS_MS_MAX = 60_000
"""A rule that begins to fail, or recovers, says so at most this often. One that flaps says it more and more rarely: each time that it fails
again soon the rest is twice as long, up to a minute. So a target that fails one time in a hundred for a day is some 3,000 events, not 170,000."""

DEAD_LETTERS_TOLD_EACH = 10
DEAD_LETTERS_TOLD_EVERY_MS = 60_000
"""Dead letters of a rule that are told one by one within a minute; further ones are told by one event a minute. Ten is what
somebody who is alerted may read; a thousand dead letters say no more than their number does."""

TROUBLE_EVENTS_PER_STEP = 100
"""Events of trouble that one step appends, whatever it learns: each is matched and put like any other. What is left waits."""

FAILURE_TOLD_CHARACTERS = 200
"""How much of what went wrong is told in an event of trouble, and kept of a rule that fails: a phrase."""

# Pull

LEASES_PER_RULE_MAX = 100_000
"""Leases that the consumers of one rule may hold at once, about 400 bytes each in memory."""

LEASE_S_MAX = 12 * 60 * 60
"""One lease; a consumer that works for longer renews it. As SQS has it."""

RECEIVE_MAX = 1_000
"""Deliveries of one receive. The bytes of their events are bounded as those of a page are (ANSWER_BYTES_MAX)."""

RECEIVE_WAIT_S_MAX = 60.0
"""How long a receive may wait for something to come: less than what proxies cut."""

RECEIVES_WAITING_MAX = 1_000
"""Receives that wait at once, over all rules: each is a connection."""

SETTLE_LEASES_MAX = 1_000
"""Leases named in one request that settles them."""

RELEASE_DELAY_S_MAX = 24 * 60 * 60
"""How long a released delivery may be put off: as long as a target of a push may ask for."""

REJECT_REASON_LENGTH_MAX = 1_000
"""What a consumer may say of a delivery that it rejects; about what a dead letter keeps of a target's answer."""

KEY_PATH_LENGTH_MAX = 256
"""The path of an order key."""

NAME_LENGTH_MAX = 128
"""Names of buses and rules: room for team-service-purpose, short enough for a table's column."""

RULE_BYTES_MAX = 256 * 1024
"""A rule's document: a thousand listed values of a pattern and room to spare."""

DESCRIPTION_LENGTH_MAX = 2_000
"""Free text of a rule; it travels in every edit event."""

CONCURRENCY_MAX = 1_000
"""Pushes under way for one rule: past this one target is no longer one service."""

PUSH_LEASE_MARGIN_MS = 30_000
"""A lease outlives its push by this: waiting for a connection, for a verdict to be committed, for a stalled disk."""

BATCH_WAIT_S_MAX = 60.0
"""How long a batch that is not full may wait for more: what is leased longer for it is given out by nobody else."""

BATCHED_LEASES_MAX = 2_000
"""Deliveries of one rule leased for batches, those that gather included: half of what a process may have under way, however large its batches are."""

BATCH_VERDICT_BYTES = 2 * 1024
"""What is read of an answer to a batch for each event in it, beside what is read of any: a problem with what was found and wanted takes a third of it."""

BATCH_LEARNT_MS = 10 * 60 * 1000
"""How long batches stay as small as a target's 413 has made them, before larger ones are tried again."""

PUSHES_UNDER_WAY_MAX = 4_096
"""Pushes under way in one process, each a socket and an event in memory."""

PUSH_BYTES_UNDER_WAY_MAX = 128 * 1024 * 1024
"""Event bytes held by pushes under way: a hundred largest events, or a hundred thousand usual ones."""

ANSWER_LINES_MAX = 100
"""Statuses of which a rule says otherwise than the answer table: there are sixty in use, and classes for the rest."""

ANSWER_KEPT_BYTES = 1_024
"""How much of a target's last answer a dead letter keeps: enough to read the error, too little to store a page."""

RETRY_DELAY_MS_MAX = 31_536_000 * 1000
"""No try is put off for longer: a year, which is the longest backoff that a rule may ask for."""

RETRY_AFTER_S_MAX = 24 * 60 * 60
"""A target may ask for no longer a wait than this; past it the wait is cut to it."""

ATTEMPTS_KEPT = 8
ATTEMPT_CHARACTERS_KEPT = 100
"""Outcomes of earlier attempts that a delivery keeps, those that were alike counted as one, and how much of each: some 1.5 KB of a row
at the worst, and about 100 bytes while a target is away."""

# Explaining

RULE_VERSIONS_MAX = 1_000
"""Edits of one rule that are remembered while events are kept that they governed: an edit every ten minutes for a week."""

RULE_VERSIONS_PER_REMOVAL = 500
"""Remembered edits that one step of retention removes: a few milliseconds of writing."""

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

# Workers

WORKER_RECEIVE_MAX = 1_000
"""Deliveries of one hand-out to a worker, which has them all under way at once. Their bytes are bounded by those of a step."""

WORKER_RECEIVE_S = 1.0
"""How long a worker waits for deliveries before it asks anew. It is also how long a worker that stops waits for the answer that it
has asked for, which may hold leases; one request a second costs nothing."""

WORKER_REQUEST_S_MAX = 30.0
"""A request of a worker: the wait, a stalled disk, and the bytes of a hand-out at 5 Mbit/s."""

WORKER_IDLE_S = 60.0
"""How long a worker sleeps that waits for answers only: they wake it."""

WORKER_LULL_S = 0.001
"""How long targets say nothing before a worker reports what it has: as many verdicts with one report as come on one another's heels."""

WORKER_VERDICTS_ENOUGH = 64
"""Verdicts that a worker reports even while more come in: what a report costs by itself is then little beside them, and the server has
something to do meanwhile."""

WORKER_REST_S = 0.005
"""How long a worker that was handed something relies on its reports to bring it more: after it, what it pushes takes long."""

WORKER_WAITED_S = 0.002
"""A receive that took longer was waited for, and not only on its way."""

WORKER_WAIT_S_MAX = 5.0
"""The longest that a worker lets a server rest that was away."""

WORKER_WORK_MS_MAX = 5_000
"""How far work time goes on in a worker without hearing from the server, which it asks once a second at least."""

WORKER_LAST_S = 5.0
"""How long a worker that stops tries to tell its last verdicts."""

HANDOUT_BYTES_MAX = 2 * STEP_BYTES_MAX
"""What a worker reads of one hand-out: the events of a step, one more, and a thousand records of rules."""

HANDOUT_RECORDS_MAX = 10_000
"""Records of rules that a server keeps encoded, and a worker decoded, about 1 KB each; past it they forget all and start again, at some
microseconds for a record."""

REPORT_BYTES_MAX = 16 * 1024 * 1024
"""One report of a worker: a verdict on everything that a process may have under way, each with a whole note."""

VERDICTS_PER_STEP = 500
"""Verdicts of a request that are written together: a worker that was cut off may bring thousands, and others wait for a step."""

NOTE_CHARACTERS_MAX = 2_048
"""The text of a note: the start of an answer, and a phrase on what failed."""

NOTE_AT_MS_MAX = 253_402_300_799_999
"""The end of the year 9999, past which no calendar is asked."""

# Events

JSON_DEPTH_MAX = 64
"""Objects and arrays inside one another, the outermost counted. Real payloads stay under 15; every reader downstream
recurses, and many give up at 100."""

NUMBER_CHARACTERS_MAX = 640
"""Characters of one number. A double needs at most 309 digits before the point; Python turns text into an integer in
quadratic time, and 640 digits is what it reads under any setting (sys.set_int_max_str_digits)."""

EXPONENT_DIGITS_MAX = 6
"""Digits of an exponent, leading zeros aside. A decimal with a longer one cannot be expanded in any memory."""

ATTRIBUTES_MAX = 64
"""Attributes of one event. Each may have to travel as a header; common servers take 100 headers at most."""

ATTRIBUTE_NAME_CHARACTERS_MAX = 64
"""One attribute's name. CloudEvents asks for 20 at most and does not insist; some extensions in use are longer."""

ATTRIBUTE_VALUE_BYTES_MAX = 2_048
"""One attribute's value in UTF-8. Percent-encoded it triples at worst, and must still be one header line of less than
8 KiB, where common servers stop."""

# Push transport

TARGET_URL_LENGTH_MAX = 2_048
"""A target's URL: what every server, proxy and log takes without cutting."""

PUSH_ANSWER_BYTES = 64 * 1024
"""What is read of the body of an answer. Of most the first kilobyte is kept, if anything."""

ANSWER_HEADER_BYTES_MAX = 64 * 1024
"""Header bytes read of one answer, interim answers and trailers included. Servers themselves stop at 8 to 64 KiB."""

PUSH_TIMEOUT_S_MAX = 3_600.0
"""One push, at the transport: past an hour it is no request. Rules allow far less."""

PUSH_CONNECT_TIMEOUT_S = 10.0
"""Opening a connection, TLS included: a second try after a lost first packet (3 s) and a slow handshake, and little more."""

PUSH_CONNECTIONS_MAX = PUSHES_UNDER_WAY_MAX
"""Connections open at once, idle ones included. Fewer than pushes under way and a push would wait for another's target."""

PUSH_CONNECTION_LIFETIME_S = 300.0
"""A connection is not reused past this age: so a busy target whose name moved is followed within minutes."""

PUSH_HANDLES_IDLE_MAX = 1_024
PUSH_HANDLE_BODY_BYTES = 16 * 1024
"""Curl handles kept for reuse, about 10 KB each, and the largest last body that an idle one may go on holding. Past this a
burst's handles are freed again."""

RESOLVER_THREADS_MAX = 16
"""Names looked up at once. A lookup cannot be interrupted, so this is how many dead name servers one bus can stand."""

RESOLVER_NAMES_MAX = 4_096
"""Names whose addresses are remembered, about 200 bytes each."""

RESOLVER_TTL_S = 30.0
RESOLVER_FAILURE_TTL_S = 2.0
"""How long an answer of the resolver is believed. `getaddrinfo` hides the record's own time to live; half a minute is what
a fail-over by DNS expects. A failure is believed long enough only to spare the name server a storm."""

TRANSPORT_CLOSE_S = 10.0
"""How long `close` waits for the transport's thread, which at that time only calls back. Longer means a callback hangs."""

TRANSPORT_URLS_MAX = 4_096
"""Parsed target URLs that the transport remembers; past this it forgets all and starts again."""

# Patterns

PATTERN_BYTES_MAX = 64 * 1024
"""One pattern's text. EventBridge stops at 4 KiB; a thousand listed values need about sixty."""

PATTERN_PATH_STEPS_MAX = 64
"""Steps of one field's path, dots in names counted: what JSON_DEPTH_MAX lets an event hold. A path's steps are joined in
every way (`a.b` is also one key), which is quadratic in their number."""

PATTERN_VALUES_PER_FIELD_MAX = 1_000
"""Values listed for one field, or inside one anything-but: past this a set is data that belongs in a table."""

PATTERN_ALTERNATIVES_MAX = 1_000
"""Alternatives that the `$or` of one pattern multiply to, as EventBridge has it. Each is matched on its own."""

PATTERN_PATH_JOINS_MAX = 20_000
"""Ways in which the steps of a pattern's paths may be joined, n(n+1)/2 for one of n steps: 3 MB. So many are a thousand paths of
five steps, or nine of sixty-four; without it 64 KB of text took 35 s to read and 2 GB to keep."""

PATTERN_COMPARISONS_MAX = 10_000
"""Comparisons of a pattern, counted in every alternative: what it may take to look at one value of each of its fields, a few
milliseconds. The exact values of a list are one comparison, be they a thousand."""

PATTERN_FIELDS_MAX = 10_000
"""Fields of a pattern, counted in every alternative: the work that one rule may make of one event, a few milliseconds."""

WILDCARDS_PER_VALUE_MAX = 5
"""Stars in one wildcard. Ours cost one pass however many there are; EventBridge refuses six and some with fewer, and a
pattern that it would refuse too is better known early."""

WILDCARDS_PER_PATTERN_MAX = 1_000
"""Stars in a pattern, counted in every alternative: each may read the whole of a string of the largest event."""

ARRAY_CHOICES_MAX = 10_000
"""Choices of array elements tried for one rule on one event. Without dots in its keys an event never needs more than it
has elements; one made of dotted keys that overlap could ask for every combination."""

ARRAY_PLACES_MAX = 2_000_000
"""Places of values in arrays looked at for one rule on one event, each counted for every array around it: one to two seconds. The largest
event holds 260,000 places; one whose keys have no dots needs more only where it nests arrays four deep all over."""

MATCH_LOOKS_MAX = 2_000_000
"""What may be looked at one by one for one event, over all rules: two seconds. One look is an object of an array asked by a rule with two fields inside, or
what takes as long: half a wildcard, sixteen values of an array that a table looks up, six that are taken out of objects, a third of one that the evaluator judges. Past it, rules about
which nothing is known yet fail on the event, each with a dead letter of its own."""

# Reading

PAGE_MAX = 1_000
"""Events, rules or dead letters in one answer; `next` continues."""

SCAN_EVENTS_AT_ONCE = 50
"""Events that a scan holds in memory before it has judged them: 50 MiB of the largest, a millisecond's work of usual ones."""

SCAN_EVENTS_MAX = 5_000
"""Events that one filtered history request looks at before it answers with what it found and where to go on."""

# Backtests

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

# Streams

STREAMS_MAX = 1_000
"""Streams of all buses at once: half of the door's connections, so that publishers always find one."""

STREAM_CHUNK_BYTES = 256 * 1024
"""Event bytes that a stream has in memory for its reader, one event aside: a few milliseconds' reading, and 256 MiB at the worst
for all streams together, as long as events are smaller than that."""

STREAM_EVENTS_MAX = 1_000
"""Events of one look of a stream: what a pattern is tried on in about 10 ms, after which other streams have their turn."""

STREAM_THREADS = 2
"""Threads that look for all streams. More would only wait for one another, and readers of history have threads of their own."""

STREAM_LIGHT_FIELDS = 10
STREAM_LIGHT_BYTES = 8 * 1024
"""Fields of a pattern and bytes of events that a stream judges on the event loop, in about 0.1 ms: less than it costs to hand
them to a thread."""

STREAM_TURN = 16
"""Streams that are woken at once, about a millisecond of their event loop: what a publish may have to wait behind."""

STREAM_REST_S_MAX = 0.1
"""After waking streams an event loop wakes none for as long as they kept it busy, and this at most: publishers have half
of it however many follow, and nobody hears of an event later than this for their sake."""

STREAM_LOOKS_KEPT = 8
"""Looks that are kept for streams that come to the same position a little later: a chunk each, one for each bus at most."""

STREAM_SILENCE_S = 15.0
"""After so long without an event a stream tells where it is. Proxies and home routers forget a silent connection after 30 to 60 s."""

# Damage

SCRUB_INTERVAL_MS = 100
SCRUB_EVENTS_PER_STEP = 500
SCRUB_BYTES_PER_STEP = 4 * 1024 * 1024
"""The scrubber's pace: 5,000 events or 40 MiB a second, which is one to two hundredths of a core and a fraction of any disk. 10 GiB,
what retention keeps by default, take it forty minutes."""

SCRUB_REST_MS = 24 * 60 * 60 * 1000
"""From the end of the scrubber's last pass to its next: a day is soon enough for a backup of last week to still be there."""

SCRUB_FAILED_MS = 60 * 1000
"""How long the scrubber leaves a disk alone that did not let it read."""

SCRUB_BUSES_PER_STEP = 100
"""Buses that one step looks at to find one with something to do."""

VERIFIED_AT_START_EVENTS_MAX = 100_000
VERIFIED_AT_START_BYTES_MAX = 128 * 1024 * 1024
"""What a start looks at of what the last run had not yet: a quarter of a second. The scrubber keeps it small; after a crash in a
flood of events it does the rest."""

# Metrics

METRICS_RULES_MAX = 200
METRICS_BUSES_MAX = 50
"""Rules and buses, over the whole process, that have time series of their own: with some fifteen for each rule a scrape stays near
4,000 samples and 0.1 s of work. Those that come later count together as `_other`."""

METRICS_READ_S_MAX = 1.0
"""How long one scrape reads how old what waits is, beside the writer and on another thread; Prometheus gives up a scrape after 10 s by
default. Past it the ages of the rules that are left are missing from this scrape, which says how many."""

METRICS_OTHERS_READ_MAX = 1_000
"""Rules without time series of their own of which one scrape reads ages, those that lag most: 0.1 s. With a hundred thousand that all owe
something it would else take its whole second, every time. How many are left the scrape says."""

METRICS_KEPT_S = 1.0
"""A scrape is answered again with what the last one read when it comes sooner after it: many who watch cost no more than one."""

# Access

KEYS_MAX = 1_000
"""Access keys, those that are over and still told of included. One list answers all of them, and all stand in memory."""

GRANT_NAMES_MAX = 100
GRANT_TEXT_MAX = 255
"""Buses or types that one key names, and characters of a source or a type: each request with the key goes through them."""

AUTHORIZATION_BYTES_MAX = 8 * 1024
"""A header Authorization. A key has 76 bytes; a token of an issuer with many groups in it has a few thousand, and is decoded and
its signature verified before anybody knows whose it is."""

JWKS_BYTES_MAX = 256 * 1024
JWKS_KEYS_MAX = 100
JWKS_S_MAX = 10.0
"""A set of an issuer's public keys, and how long it may take to come. Large issuers have four keys of 2 KB."""

JWKS_FRESH_S = 600.0
"""How long fetched keys are used before they are fetched again, beside the requests."""

JWKS_STALE_S = 24 * 3600.0
"""How old they may become while the issuer is away. Issuers publish a key a day or more before they sign by it, and keep it as long after."""

JWKS_RETRY_S = 30.0
"""Between two fetches, whoever asks for them: a token that names a key nobody has costs the issuer no more than that."""

TOKENS_KNOWN_MAX = 10_000
"""Tokens whose signature was verified, by their digests: 500 bytes each."""

SUBJECT_MAX = 200
"""Characters of a token's subject, which each edit records."""

PERMIT_LOOK_S = 30.0
"""How often a stream whose key expires looks at the clock, which may have been set meanwhile."""

# Detectors

EMITTERS_PER_BUS_MAX = 500
"""Detectors of one bus. An edit asks how they hang together, each with each where every one might hear every other: then half a second."""

EMITTER_CHAIN_MAX = 8
"""Detectors one behind the other, each listening to what the one before emits. People who build on edges of edges need two or three."""

EMITTED_TYPE_LENGTH_MAX = 256
"""The type of an event that a detector emits."""

HOLD_S_MAX = 31_536_000
"""How long a condition may have to hold, and how long ago a key may have been heard of: a year."""

LATE_BY_S_MAX = 86_400
"""How much later than it happened an observation may come and still count from then: each hold is told so much later."""

HOLDS_REST_MS = 5_000
"""After a start no hold ends for so long (work time): who found the bus away meanwhile tries again within seconds, perhaps with what
breaks it."""

DETECTOR_KEYS_MAX = 10_000_000
DETECTOR_KEYS_DEFAULT = 1_000_000
"""Keys of one detector, of about 300 bytes on the disk each. A key that is no key, a request's id say, would else take the disk."""

DETECTOR_KEY_BYTES_MAX = 512
"""A key, in UTF-8. It is the subject of what the detector emits."""

DETECTOR_VALUES_BYTES_MAX = 1_024
DETECTOR_VALUES_LISTED_MAX = 10
"""What a key keeps of what its last observation said, as JSON; and how many values of one field. More is left out."""

DETECTOR_EDGES_PER_S_DEFAULT = 1_000.0
DETECTOR_EDGES_BURST_S = 10
"""Edges of one detector, in the long run and, as so many seconds' worth, at once. Past that an edge waits for its turn."""

KEPT_CACHED_MAX = 50_000
"""Keys of one bus that are kept in memory as they are in the store, at about 600 bytes each: what is observed now is observed again soon."""

TIMERS_PER_STEP = 50
"""Timers that one step runs out: some milliseconds, which a publisher may have to wait for. With 200, publishing beside a hundred thousand
holds that ended at once waited seven times as long as without."""

SWEEP_KEYS_PER_STEP = 100
"""Keys that one step judges anew, or forgets, after an edit of their detector."""

# Traces

TRACE_NOTES_MAX = 2_048
"""Publishes and pushes that wait to become spans: as many as OpenTelemetry's own queue. Past it spans are dropped."""

TRACE_CLOSE_S = 2.0
"""How long a stop waits for spans to be sent, twice: a collector that is gone must not hold a server."""

# The HTTP door

ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""Event bytes in one answer, a page or what was received: it is held whole until the caller has read it. One event always fits."""

REQUEST_BYTES_MAX = 256 * 1024
"""A request's JSON document other than events and rules: a thousand delivery ids and room to spare."""

REDRIVE_IDS_MAX = 1_000
"""Dead letters named in one redrive, which is one step; `all` has no bound, for it moves in many."""

QUERY_FIELDS_MAX = 32
"""Fields of one query. No route knows more than ten."""

HTTP_HEAD_BYTES_MAX = 64 * 1024
"""A request line with its headers. A binary event of many long attributes takes 30 KiB; common proxies stop at 8 to 32."""

HTTP_HEAD_S_MAX = 10.0
"""From a connection or a request's first byte to the end of its headers. Nobody types them by hand for longer."""

HTTP_BODY_S_MAX = 30.0
"""From the end of the headers to the end of the body: the largest batch at 2 Mbit/s."""

HTTP_ENDING_S_MAX = 2.0
"""How long a refused connection is still read from, so that its caller gets to read why."""

HTTP_IDLE_S_MAX = 75
"""A connection that is kept without a request, as nginx has it: a producer that speaks once a minute keeps its connection."""

HTTP_UNREAD_S_MAX = 30.0
"""How long an answer may wait in our memory without the caller reading any of it. A stream is cut after it, and what was written
of it until then may wait once more as long."""

HTTP_CONNECTIONS_MAX = 2_000
"""Connections that are served. The next ones, as many again at most, are told to come back."""

HTTP_BODIES_BYTES_MAX = 128 * 1024 * 1024
"""Bytes of bodies that have come in part: a slow caller must not hold more memory the more of them there are."""

HTTP_LINGER_BYTES_MAX = 16 * 1024 * 1024
HTTP_LINGER_S_MAX = 5.0
"""What is read on and thrown away after a body was refused by its size, so that the caller, who is still sending, gets to read
the answer; a socket closed at once would tell it only that the connection broke."""

TARGET_HEADERS_MAX = 20
TARGET_HEADER_LENGTH_MAX = 4_096
"""Headers of its own that a rule sends with each push: tokens, API keys, tenants. Servers take heads of 8 to 64 KiB."""

TRANSFORM_TEXT_LENGTH_MAX = 8_192
TRANSFORM_PATHS_MAX = 100
TRANSFORM_QUERY_MAX = 100
"""One text of a transform, and how many values and parameters it names: more than any request wants, and little to fill in."""

TRANSFORM_DEPTH_MAX = 32
"""Objects in objects in a body of a template: half of what an event may have, so that with a value in it it is one still."""

TRANSFORMED_BYTES_MAX = EVENT_BYTES_MAX
"""A body that a transform makes: what a target that takes any event has to take anyway. A template that names a large value many times
would make any size of one event."""

TRANSFORM_FAILURE_CHARACTERS = 500
"""What is kept of why a transform failed: a place, and a phrase."""

EXPRESSION_CPU_S = 1.0
EXPRESSION_MEMORY_BYTES = 512 * 1024**2
EXPRESSION_DEPTH_MAX = 200
"""One event in one transform's expressions: common ones take a millisecond and the memory of a small interpreter. 200 calls deep the
interpreter's own stack still holds."""

EXPRESSION_WALL_S = 10.0
EXPRESSION_WAIT_S = 10.0
"""Past these nothing is known of an expression but that the machine is busy, and its delivery is put back. Together below the margin
of a push's lease (PUSH_LEASE_MARGIN_MS)."""

EXPRESSION_PUT_OFF_MS = 1_000
"""Until a delivery whose expression was not evaluated is leased again."""

EXPRESSIONS_KEPT = 256
"""Expressions that an evaluator has read and keeps: half a millisecond each to read."""

EXPRESSIONS_TRIED_MAX = 100
"""Evaluations under way for whoever saves and tries transforms: a few full trials of dead letters. Each holds an event."""

EVALUATORS = 2
"""Processes that evaluate: one for a rule that takes long, and one for all others."""

TRANSFORMS_KEPT = 1_000
"""Compiled transforms kept by whoever pushes. One is compiled in well under a millisecond."""

SIGNING_SECRETS_MAX = 2
"""Secrets that a push is signed with: the one in use and, while it is being changed, the one before it."""

SIGNING_SECRET_BYTES_MIN = 24
SIGNING_SECRET_BYTES_MAX = 64
SIGNING_SECRET_BYTES_NEW = 32
"""What Standard Webhooks wants of a secret: fewer can be guessed in time, more than SHA-256's block are hashed first. A new one has as many as the digest."""

HANDSHAKE_AGAIN_S = 5.0
HANDSHAKE_AGAIN_S_MAX = 600.0
"""After a refusal a target is asked again after the first, each time in a row twice as long, up to the second: whoever has just set it up waits
seconds, and one that never agrees costs a request, and a write here, in ten minutes."""

HANDSHAKES_UNDER_WAY_MAX = 64
"""Targets that are asked at once: ten thousand rules after a start must leave connections to pushes."""

HANDSHAKE_RATE_DIGITS_MAX = 9
"""A thousand million requests a minute are as good as any number."""

HANDSHAKE_SHOWN_LENGTH = 60
"""Characters of what a target answered that status shows."""

TOKEN_TIMEOUT_S = 10.0
"""For fetching an access token. Pushes wait for it, and their leases are longer by it."""

TOKEN_ANSWER_BYTES_MAX = 64 * 1024
TOKEN_LENGTH_MAX = 8_192
"""What is read of a token server's answer, and an access token that stands in a header: those with many groups take some kilobytes."""

TOKEN_S_DEFAULT = 300.0
TOKEN_S_MAX = 86_400.0
"""How long a token is taken to hold that says nothing, and one that says too much: after it nothing is lost by asking again."""

TOKEN_REFRESH_S = 60.0
TOKEN_REFRESH_SHARE = 0.2
"""So long before its end a token is fetched anew, and at most that share of its life: pushes go on with the old one meanwhile."""

TOKEN_FAILURE_S = 5.0
"""Between a token server's failure and the next time that it is asked: waiting pushes are many, and it is one."""

TOKEN_TRUSTED_S = 30.0
"""After a 401 had another token fetched, a 401 is not taken for the token's fault for so long."""

TOKENS_MAX = 10_000
"""Grants whose tokens are kept: past it all are forgotten, and fetched again as they are needed."""

SECRET_KEYS_MAX = 100
"""Keys in the key file: the one in use, and those that older backups may need."""

SETTLE_EVENTS_MAX = 1_000
SETTLE_EVENTS_PER_EVENT = 20
SETTLE_TURNS_MAX = 1_000_000
"""In a test, what happens at one moment before it is taken to have no end, as with rules that feed each other: so many events, and so many for each that
was there before. A choreography makes a dozen of one.
"""

# Schedules

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
