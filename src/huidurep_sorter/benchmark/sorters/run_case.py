"""Run one sorter on one recording of a study: `python -m huidurep_sorter.benchmark.sorters.run_case`.

The record is written to a file as JSON. A process that dies leaves no such file, and its caller says so.
"""

import json
import sys
import traceback
from pathlib import Path

from spikeinterface.benchmark import SorterStudy
from spikeinterface.core import set_global_job_kwargs
from spikeinterface.sorters import sorter_dict

try:
    import resource
except ImportError:  # Windows has no such module
    resource = None


def main(study_folder, recording, sorter, n_jobs, record):
    """Run a case, replace what an interrupted run left, and write the record."""
    set_global_job_kwargs(n_jobs=int(n_jobs), progress_bar=False)
    study, key = SorterStudy(study_folder), (recording, sorter)
    name = study.cases[key]["params"]["sorter_name"]
    written = dict(sorter_version=str(sorter_dict[name].get_sorter_version()))
    try:
        study.run([key], keep=False)
        written |= dict(status="ok", seconds=study.get_result(key)["run_time"])
    except Exception as error:
        traceback.print_exc()
        written |= dict(status="failed", error=last_line(error))
    Path(record).write_text(json.dumps(written | dict(peak_memory_gb=own_peak_gb())), encoding="utf8")


def last_line(error):
    """Return the last line of an error's message that says why it happened.

    The message of SpikeInterface's sorting error is a whole traceback, and then where the log is.
    """
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith("Spike sorting failed")]
    return lines[-1] if lines else type(error).__name__


def own_peak_gb():
    """Return the largest resident memory of this process in GB (10^9 bytes), or 0 where the system doesn't tell."""
    try:  # unlike getrusage, Linux's own count doesn't start with what the parent process used
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9
    except (OSError, StopIteration):
        pass
    if resource is None:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


if __name__ == "__main__":
    main(*sys.argv[1:])
