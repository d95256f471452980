"""What every stage runs in: one thread, timed and logged; compiled functions kept; an early end with a reason."""

import logging
import time
from contextlib import contextmanager
from functools import cache

from numba.core.dispatcher import Dispatcher
from threadpoolctl import threadpool_limits

logger = logging.getLogger(__name__)


class NothingFound(Exception):
    """Raised by a stage that has nothing to give to the next one: the sorting is empty. The message says why."""


@contextmanager
def stage(name):
    """Log how long a stage took; also a decorator of the function that is the stage.

    Linear algebra keeps to one thread, as it does in SpikeInterface's worker processes: sums in another order would
    move a spike by a sample now and then, and the result would depend on `n_jobs` (sorters-9, sorters-11). The encoder
    too: its operations are small, and on a machine with other work to do its threads would wait for one another (ten
    times slower: sorters-10).
    """
    start = time.perf_counter()
    with threadpool_limits(limits=1):
        yield
    logger.info("%s: %.1f s", name, time.perf_counter() - start)


@cache
def keep_compiled(*modules):
    """Let numba keep what it compiles of these modules, so that the next process need not compile it again (25 s).

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
