"""Consumers that pull."""

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
