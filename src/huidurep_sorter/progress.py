"""How far a sorting is: which stage runs, about how much of the whole is done, and what is left."""

import logging
import sys
import time
from contextlib import contextmanager

package_logger = logging.getLogger("huidurep_sorter")  # the parent of every module's logger

# Percent of the CPU time of 120 s of 64 channels (sorters-38); of longer recordings more is detecting and matching.
SHARES = dict(
    prepare=15,
    preprocess=6,
    detect=6,
    motion=10,
    keep=2,
    represent=20,
    locate=1,
    cluster=9,
    merge=2,
    templates=2,
    refine=4,
    match=5,
    curate=5,
    measure=6,
    report=7,
)


@contextmanager
def show_progress(rewrites):
    """Say on stderr at the begin of each stage how far the sorting is: on one line that is rewritten, or on many."""
    handler = Progress(rewrites)
    package_logger.addHandler(handler)
    try:
        yield
    finally:
        package_logger.removeHandler(handler)
        handler.end()


class Progress(logging.Handler):
    """Reads from the log which stage begins.

    Attributes
    ----------
    rewrites : bool
        Keep to one line of a terminal.
    percent : float
        Done before the stage that runs. After a correction of motion, stages run once more, and it stays as it is.
    """

    def __init__(self, rewrites):
        super().__init__(logging.INFO)
        self.rewrites, self.percent, self.start = rewrites, 0, time.perf_counter()

    def emit(self, record):
        """Show the stage that a record is about; others are left alone."""
        stage = getattr(record, "stage", None)
        if record.levelno >= logging.WARNING:  # another handler shows it, on a line of its own
            self.end()
        elif stage in SHARES:
            text = self.describe(stage, time.perf_counter() - self.start)
            sys.stderr.write(f"\r\x1b[2K{text}" if self.rewrites else f"{text}\n")
            sys.stderr.flush()

    def describe(self, stage, seconds):
        """Say how far the sorting is, after so many seconds."""
        names = list(SHARES)
        self.percent = max(self.percent, sum(SHARES[name] for name in names[: names.index(stage)]))
        left = f", {minutes(seconds * (100 / self.percent - 1))} left" if self.percent else ""
        place = f"stage {names.index(stage) + 1} of {len(names)}, {stage}"
        return f"huidurep: {place}: about {self.percent} % done in {minutes(seconds)}{left}"

    def end(self):
        """Take the line away."""
        if self.rewrites:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def minutes(seconds):
    """Write a duration as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
