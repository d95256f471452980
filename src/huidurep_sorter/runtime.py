"""What numba compiles of SpikeInterface is kept on disk."""

import logging
from functools import cache

logger = logging.getLogger("huidurep_sorter")


@cache
def keep_compiled(*modules):
    """Let numba keep what it compiles of these modules, so that the next process needn't compile it again (25 s).

    It lies where numba keeps all such things: beside the module, or in the user's cache, or in `NUMBA_CACHE_DIR`.
    Where none of them can be written, nothing is kept.

    Parameters
    ----------
    *modules : module
        With functions of ``numba.jit``.
    """
    from numba.core.dispatcher import Dispatcher

    for module in modules:
        try:
            for function in vars(module).values():
                if isinstance(function, Dispatcher):
                    function.enable_caching()
        except RuntimeError as error:  # numba found no folder to write to
            logger.info("%s is compiled in each process: %s", module.__name__, error)
