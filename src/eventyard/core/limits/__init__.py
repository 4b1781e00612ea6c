"""Every limit of the house, each with its reason, in a module named after what it bounds; all are read as `limits.NAME`. A limit that an
operator may change says so. Sizes are bytes, durations carry their unit in the name.
"""

from eventyard.core.limits.access import *  # noqa: F403
from eventyard.core.limits.detectors import *  # noqa: F403
from eventyard.core.limits.events import *  # noqa: F403
from eventyard.core.limits.http import *  # noqa: F403
from eventyard.core.limits.keeping import *  # noqa: F403
from eventyard.core.limits.observing import *  # noqa: F403
from eventyard.core.limits.patterns import *  # noqa: F403
from eventyard.core.limits.protection import *  # noqa: F403
from eventyard.core.limits.pulling import *  # noqa: F403
from eventyard.core.limits.pushing import *  # noqa: F403
from eventyard.core.limits.reading import *  # noqa: F403
from eventyard.core.limits.rules import *  # noqa: F403
from eventyard.core.limits.runs import *  # noqa: F403
from eventyard.core.limits.schedules import *  # noqa: F403
from eventyard.core.limits.steps import *  # noqa: F403
from eventyard.core.limits.streams import *  # noqa: F403
from eventyard.core.limits.targets import *  # noqa: F403
from eventyard.core.limits.testing import *  # noqa: F403
from eventyard.core.limits.transforms import *  # noqa: F403
from eventyard.core.limits.transport import *  # noqa: F403
from eventyard.core.limits.workers import *  # noqa: F403
