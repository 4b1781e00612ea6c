"""A pattern, and what it may cost to match one event."""

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
