"""`eventyard` with other limits: `python run_with_limits.py PUSH_LEASE_MARGIN_MS=500 -- serve ...`. For what would take long otherwise."""

import sys

from eventyard import cli
from eventyard.core import limits

if __name__ == "__main__":
    end = sys.argv.index("--")
    for pair in sys.argv[1:end]:
        name, _, value = pair.partition("=")
        setattr(limits, name, type(getattr(limits, name))(value))
    sys.exit(cli.run(sys.argv[end + 1 :]))
