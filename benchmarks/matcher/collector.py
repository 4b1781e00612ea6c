"""The garbage collector as a server of ours has it: its thresholds, and what stood before is frozen."""

import gc

from eventyard.process import GC_THRESHOLDS


class AsInLife:
    def __enter__(self) -> None:
        self._thresholds = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    def __exit__(self, *_: object) -> None:
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()
