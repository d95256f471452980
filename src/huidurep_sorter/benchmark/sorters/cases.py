"""Run the cases of a study, each in a process of its own, and keep a record of each.

A case is (recording, sorter). SpikeInterface keeps its result. The folder `run_logs/` of the study has what its process
wrote, and the record: whether it worked, time, peak memory, versions and machine. A case with a record isn't run again.
"""

import json
import subprocess
import sys

from huidurep_sorter.benchmark.circumstances import versions_and_machine
from huidurep_sorter.benchmark.sorters.processes import how_it_died, stop, watch


def run_cases(study, keys, n_jobs=1, time_limit_s=None, verbose=False):
    """Run those of the cases that have no record yet. A failure is a record like any other."""
    for key in keys:
        if read_record(study, key) is not None:
            continue
        if verbose:
            print(f"{key[1]} on {key[0]} ...", end=" ", file=sys.stderr, flush=True)
        record = run_case(study, key, n_jobs, time_limit_s)
        if verbose:
            took = f"{record['seconds']:.0f} s" if record["status"] == "ok" else record["error"]
            print(took, file=sys.stderr, flush=True)


def run_case(study, key, n_jobs=1, time_limit_s=None):
    """Run one case in a process of its own, and keep the record.

    Parameters
    ----------
    study : SorterStudy
    key : tuple
        Recording and sorter.
    n_jobs : int, default: 1
    time_limit_s : float, optional
        The process is stopped after so many seconds.

    Returns
    -------
    record : dict
    """
    path = record_path(study, key)
    written = path.with_suffix(".partial")
    record = run_command(case_command(study, key, n_jobs, written), written, path.with_suffix(".txt"), time_limit_s)
    record |= dict(n_jobs=n_jobs, **versions_and_machine())
    keep_record(path, record)
    return record


def run_command(command, written, log, time_limit_s=None):
    """Run a command that writes a record, and watch it.

    Parameters
    ----------
    command : list of str
    written : Path
        The command writes its record here, as JSON. Where it dies or is stopped, a record says so.
    log : Path
        Gets what the command prints.
    time_limit_s : float, optional

    Returns
    -------
    record : dict
    """
    written.unlink(missing_ok=True)
    with open(log, "w", encoding="utf8") as stream:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        try:
            peak_gb, in_time = watch(process, time_limit_s)
        finally:
            stop(process)  # it still runs where it took too long, or where we were interrupted
    if written.exists():
        record = json.loads(written.read_text(encoding="utf8"))
        written.unlink()
    else:
        error = how_it_died(process.returncode) if in_time else f"stopped after {time_limit_s:g} s"
        record = dict(status="failed", error=error, peak_memory_gb=0.0)
    record["peak_memory_gb"] = max(record["peak_memory_gb"], peak_gb)
    return record


def keep_record(path, record):
    """Write a record such that its file is there only once it is complete."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=1), encoding="utf8")
    partial.replace(path)


def case_command(study, key, n_jobs, record):
    """Return the command line of the process of a case."""
    module = "huidurep_sorter.benchmark.sorters.run_case"
    return [sys.executable, "-m", module, str(study.folder), *key, str(n_jobs), str(record)]


def record_path(study, key):
    """Return the file of a record. It lies where `remove_benchmark` of the study removes it."""
    return study.folder / "run_logs" / f"{study.key_to_str(key)}.json"


def read_record(study, key):
    """Return the record of a case, or None where it hasn't been run."""
    path = record_path(study, key)
    return json.loads(path.read_text(encoding="utf8")) if path.exists() else None
