"""What every stage runs in: one thread, timed and logged; compiled functions kept; an early end with a reason."""

import logging
import re
import sys
import time
from contextlib import contextmanager
from functools import cache

import psutil
from numba.core.dispatcher import Dispatcher
from threadpoolctl import threadpool_limits

try:
    import resource
except ImportError:  # Windows: the memory in use stands for the most that was in use
    resource = None

logger = logging.getLogger(__name__)


class NothingFound(Exception):
    """Raised by a stage that has nothing to give to the next one: the sorting is empty. The message says why."""


@contextmanager
def stage(name):
    """Run a stage in one thread, and log its begin and what it took; also a decorator of the stage's function.

    Linear algebra keeps to one thread, as it does in SpikeInterface's worker processes: sums in another order would
    move a spike by a sample now and then, and the result would depend on `n_jobs` (sorters-9, sorters-11). The encoder
    too: its operations are small, and on a machine with other work to do its threads would wait for one another (ten
    times slower: sorters-10).
    """
    logger.info("%s begins", name, extra=dict(stage=name))  # from which `progress` knows
    with timed(name), threadpool_limits(limits=1):
        yield


@contextmanager
def timed(name):
    """Log what something took: seconds, those of the processors, and the most memory of this process so far.

    The processors' seconds are of this process and of its workers.
    """
    start, cpu_start = time.perf_counter(), cpu_seconds()
    yield
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu_start
    logger.info("%s: %.2f s, %.2f CPU s, %.2f GB", name, seconds, cpu, peak_memory() / 1e9)


def read_stages(log):
    """Read what each stage took from the text of a log, as `timed` writes it.

    Returns
    -------
    stages : dict of str to list of (seconds, CPU seconds, GB)
        In the order of their first run.
    """
    stages = {}
    pattern = r"INFO (\w+): ([\d.]+) s, ([\d.]+) CPU s, ([\d.]+) GB$"
    for name, *took in re.findall(pattern, log, re.MULTILINE):
        stages.setdefault(name, []).append(tuple(map(float, took)))
    return stages


def cpu_seconds():
    """Count the processors' seconds of this process and of its workers that have ended."""
    times = psutil.Process().cpu_times()
    return times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)


def peak_memory():
    """Give the most memory that this process has had so far, in bytes."""
    if resource is None:
        return psutil.Process().memory_info().rss
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest


@cache
def keep_compiled(*modules):
    """Let numba keep what it compiles of these modules, so that the next process need not compile it again.

    It lies where numba keeps all such things: beside the module, or in the user's cache, or in `NUMBA_CACHE_DIR`.
    Where none of them can be written, nothing is kept.

    Parameters
    ----------
    *modules : module
        With functions of ``numba.jit``.
    """
    for module in modules:
        try:
            for function in vars(module).values():
                if isinstance(function, Dispatcher):
                    function.enable_caching()
        except RuntimeError as error:  # numba found no folder to write to
            logger.info("%s is compiled in each process: %s", module.__name__, error)
