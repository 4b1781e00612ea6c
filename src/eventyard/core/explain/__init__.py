"""Why an event reached a rule, or did not: what the bus holds about both, put in words. Pure: `eventyard.explaining` reads for it."""
