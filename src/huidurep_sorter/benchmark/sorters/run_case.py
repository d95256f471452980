"""Run one sorter on one recording of a study: `python -m huidurep_sorter.benchmark.sorters.run_case`.

What it did is written to a file as JSON; a process that dies leaves no such file, and its caller says so.
"""

import json
import sys
from pathlib import Path


def main(study_folder, recording, sorter, n_jobs, record):
    """Run a case, replacing what an interrupted run left, and write the record."""
    from spikeinterface.benchmark import SorterStudy
    from spikeinterface.core import set_global_job_kwargs

    import huidurep_sorter  # noqa: F401  registers the sorter
    from huidurep_sorter.cli.main import one_line

    set_global_job_kwargs(n_jobs=int(n_jobs), progress_bar=False)
    study, key = SorterStudy(study_folder), (recording, sorter)
    written = dict(sorter_version=sorter_version(study.cases[key]["params"]["sorter_name"]))
    try:
        study.run([key], keep=False)
        written |= dict(status="ok", seconds=study.get_result(key)["run_time"])
    except Exception as error:
        import traceback

        traceback.print_exc()
        written |= dict(status="failed", error=one_line(error))
    Path(record).write_text(json.dumps(written | dict(peak_memory_gb=own_peak_gb())), encoding="utf8")


def sorter_version(name):
    """As text, whatever the sorter says."""
    from spikeinterface.sorters import sorter_dict

    return str(sorter_dict[name].get_sorter_version())


def own_peak_gb():
    """Largest resident memory of this process in GB (10^9 bytes); 0 where the system doesn't tell."""
    try:  # unlike getrusage, Linux's own count doesn't start with what the parent process used
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e9
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


if __name__ == "__main__":
    main(*sys.argv[1:])
