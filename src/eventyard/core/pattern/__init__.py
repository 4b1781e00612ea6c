"""The pattern language: what a rule says about the events that it wants.

`language` parses a pattern, `evaluator` decides about one event and says why, `index` meets one event with many
rules, `eventbridge` reads the files of EventBridge. The reference for writers of patterns is docs/reference/patterns.md.
"""
