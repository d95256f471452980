"""Watch a process and its children: memory, time, and how it ended."""

import math
import subprocess
import sys
import time
from contextlib import suppress

import psutil


def watch(process, time_limit_s=None, interval_s=1.0):
    """Wait until a process ends, or until its time is over.

    Parameters
    ----------
    process : subprocess.Popen
    time_limit_s : float, optional
    interval_s : float, default: 1.0
        Between two looks at the memory. A look takes some 50 ms of the machine's time, so they are rare.

    Returns
    -------
    peak_gb : float
        The largest memory of the process and its children. On Linux, memory that they share is counted once; elsewhere
        it is counted for each of them.
    in_time : bool
        Whether the process ended by itself.
    """
    peak, end = 0, time.monotonic() + (math.inf if time_limit_s is None else time_limit_s)
    while process.poll() is None:
        if time.monotonic() > end:
            return peak / 1e9, False
        peak = max(peak, sum(memory_of(p) for p in process_tree(process)))
        with suppress(subprocess.TimeoutExpired):
            process.wait(min(interval_s, max(end - time.monotonic(), 0.0)))
    return peak / 1e9, True


def stop(process):
    """Kill a process and its children."""
    for one in process_tree(process):
        with suppress(psutil.Error):  # it has just ended
            one.kill()
    process.kill()
    process.wait()


def process_tree(process):
    """Return the process and its children as psutil sees them, or nothing where it has just ended."""
    try:
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def memory_of(process):
    """Return the bytes of memory of a psutil.Process, or 0 where it has just ended.

    Where the system tells, this is the process's share of the memory that it has in common with others.
    """
    try:
        used = process.memory_full_info() if sys.platform == "linux" else process.memory_info()
    except psutil.Error:
        return 0
    return getattr(used, "pss", used.rss)


def how_it_died(returncode):
    """Say how a process ended that left no record."""
    if returncode < 0:
        return f"killed by signal {-returncode}" + (" (out of memory?)" if returncode == -9 else "")
    return f"ended with exit code {returncode}"
