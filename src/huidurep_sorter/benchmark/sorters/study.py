"""Sorters on recordings with ground truth: cases of a `SorterStudy`, each run in its own process.

A case is (recording, sorter). Its result is where SpikeInterface keeps it; `run_logs/` has what its process
said, and a record: whether it worked, time, peak memory, versions, machine. A case with a record isn't run
again.
"""

import json
import logging
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

logger = logging.getLogger("huidurep_sorter")

PEERS = ("kilosort4", "mountainsort5", "lupin", "spykingcircus2", "tridesclous2")
LEVELS = ["recording", "sorter"]
SEEDS = ("seed", "whitening_seed")  # parameters that are set to 0 where a sorter's default is a random one
QUIET = dict(n_jobs=1, progress_bar=False)


@dataclass(frozen=True, kw_only=True)
class SorterChoice:
    """A sorter and what differs from its defaults; `label` names it in tables and folders."""

    label: str
    name: str
    params: dict


def parse_sorter(text) -> SorterChoice:
    """Read "huidurep" or "huidurep:features=svd,detect_threshold=6".

    Raises
    ------
    ValueError
        If there is no such sorter, or it is installed and has no such parameter.
    """
    import yaml
    from spikeinterface.sorters import sorter_dict

    name, _, given = text.partition(":")
    if name not in sorter_dict:
        raise ValueError(f"no sorter {name!r}; SpikeInterface knows {', '.join(sorter_dict)}")
    pairs = [piece.partition("=") for piece in given.split(",") if piece]
    if not all(key and equals for key, equals, _ in pairs):
        raise ValueError(f"{text!r}: write parameters as NAME:PARAMETER=VALUE,PARAMETER=VALUE")
    params = {key: yaml.safe_load(value) for key, _, value in pairs}
    if sorter_dict[name].is_installed():
        defaults = sorter_dict[name].default_params()
        unknown = sorted(set(params) - set(defaults))
        if unknown:
            raise ValueError(f"{name} has no parameter {unknown[0]!r}")
        params = {key: 0 for key in SEEDS if key in defaults and defaults[key] is None} | params
    label = " ".join([name, *given.split(",")]).strip()
    return SorterChoice(label=re.sub(r'[\\/:*?"<>|]', "_", label), name=name, params=params)


def choose_sorters(texts):
    """Those that are installed, and label to reason for those that aren't."""
    from spikeinterface.sorters import sorter_dict

    chosen, skipped = [], {}
    for choice in map(parse_sorter, dict.fromkeys(texts)):
        if sorter_dict[choice.name].is_installed():
            chosen.append(choice)
        else:
            skipped[choice.label] = "not installed here"
    return chosen, skipped


def find_pairs(data):
    """Subfolders with a recording and a sorting, by name.

    Raises
    ------
    ValueError
        If there is none.
    """
    pairs = [p for p in sorted(Path(data).iterdir()) if (p / "recording").exists() and (p / "sorting").exists()]
    if not pairs:
        raise ValueError(f"{data} has no subfolder with a recording and a sorting")
    return pairs


def open_study(folder, pairs, sorters):
    """The `SorterStudy` of a folder, with a case for each recording and sorter; what it has already is kept.

    Parameters
    ----------
    folder : str or Path
    pairs : list of Path
        Folders with `recording` and `sorting`, whose name is that of the recording.
    sorters : list of SorterChoice

    Raises
    ------
    ValueError
        If the study has another recording of the same name.
    """
    from spikeinterface.benchmark import SorterStudy

    folder = Path(folder)
    cases = {
        (pair.name, sorter.label): dict(
            dataset=pair.name,
            label=f"{sorter.label} on {pair.name}",
            params=dict(sorter_name=sorter.name, **sorter.params),
        )
        for pair in pairs
        for sorter in sorters
    }
    if not (folder / "cases.pickle").exists():  # the last file that `create` writes
        shutil.rmtree(folder, ignore_errors=True)
        datasets = {pair.name: describe_truth(pair) for pair in pairs}
        SorterStudy.create(folder, datasets=datasets, cases=cases, levels=LEVELS)
    remember_sources(folder, pairs)
    add_datasets(folder, pairs)
    study = SorterStudy(folder)
    study.add_cases({key: case for key, case in cases.items() if key not in study.cases})
    return SorterStudy(folder)


def describe_truth(pair):
    """Analyzer of the true units, with what the study and the report ask of it."""
    from spikeinterface.core import create_sorting_analyzer, load

    recording, sorting = load(pair / "recording"), load(pair / "sorting")
    analyzer = create_sorting_analyzer(sorting, recording, sparse=False, job_kwargs=QUIET)
    analyzer.compute("random_spikes", seed=0)
    analyzer.compute("noise_levels", random_slices_kwargs=dict(seed=0), **QUIET)
    analyzer.compute(["templates", "template_similarity"], **QUIET)
    analyzer.compute("quality_metrics", metric_names=["snr", "firing_rate", "num_spikes"], **QUIET)
    return analyzer


def remember_sources(folder, pairs):
    """Keep where recordings come from, and refuse another one of the same name."""
    listed = folder / "sources.json"
    sources = json.loads(listed.read_text(encoding="utf8")) if listed.exists() else {}
    for pair in pairs:
        if sources.setdefault(pair.name, str(pair.resolve())) != str(pair.resolve()):
            raise ValueError(f"{folder} has results of another {pair.name!r}: give another output folder")
    listed.write_text(json.dumps(sources, indent=4), encoding="utf8")


def add_datasets(folder, pairs):
    """What SorterStudy can't do itself: more recordings in a study that exists."""
    listed = folder / "analyzers_path.json"
    paths = json.loads(listed.read_text(encoding="utf8"))
    for pair in pairs:
        if pair.name not in paths:
            where = folder / "sorting_analyzer" / pair.name
            shutil.rmtree(where, ignore_errors=True)
            describe_truth(pair).save_as(format="binary_folder", folder=where)
            paths[pair.name] = str(where.resolve())
            listed.write_text(json.dumps(paths, indent=4), encoding="utf8")


def run_cases(study, keys, n_jobs=1, time_limit_s=None, verbose=False):
    """Run those of the cases that have no record yet; a failure is a record like any other."""
    for key in keys:
        if read_record(study, key) is not None:
            continue
        if verbose:
            print(f"{key[1]} on {key[0]} ...", end=" ", file=sys.stderr, flush=True)
        record = run_case(study, key, n_jobs, time_limit_s)
        if verbose:
            took = f"{record['seconds']:.0f} s" if record["status"] == "ok" else record["error"]
            print(took, file=sys.stderr, flush=True)


def case_command(study, key, n_jobs, record):
    """What the process of a case is started with."""
    module = "huidurep_sorter.benchmark.sorters.run_case"
    return [sys.executable, "-m", module, str(study.folder), *key, str(n_jobs), str(record)]


def run_case(study, key, n_jobs=1, time_limit_s=None):
    """Run one case in a process of its own, stopped after `time_limit_s` seconds, and keep the record."""
    path = record_path(study, key)
    log, written = path.with_suffix(".txt"), path.with_suffix(".partial")
    written.unlink(missing_ok=True)
    with open(log, "w", encoding="utf8") as stream:
        process = subprocess.Popen(
            case_command(study, key, n_jobs, written), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream
        )
        try:
            peak_gb, in_time = watch(process, time_limit_s)
        finally:
            stop(process)  # no longer there, but when it takes too long or we are interrupted
    if written.exists():
        record = json.loads(written.read_text(encoding="utf8"))
    else:
        error = how_it_died(process.returncode) if in_time else f"stopped after {time_limit_s:g} s"
        record = dict(status="failed", error=error, peak_memory_gb=0.0)
    record["peak_memory_gb"] = max(record["peak_memory_gb"], peak_gb)
    record |= dict(n_jobs=n_jobs, **circumstances())
    written.write_text(json.dumps(record, indent=1), encoding="utf8")
    written.replace(path)
    return record


def record_path(study, key):
    """Where `remove_benchmark` of the study finds and removes it."""
    return study.folder / "run_logs" / f"{study.key_to_str(key)}.json"


def read_record(study, key):
    """The record of a case; None where it hasn't been run."""
    path = record_path(study, key)
    return json.loads(path.read_text(encoding="utf8")) if path.exists() else None


def how_it_died(returncode):
    """A word on a process that couldn't say anything."""
    if returncode < 0:
        return f"killed by signal {-returncode}" + (" (out of memory?)" if returncode == -9 else "")
    return f"ended with exit code {returncode}"


def watch(process, time_limit_s=None, interval_s=1.0):
    """Wait for a process: the largest memory of it and its children, in GB, and whether it ended in time.

    On Linux what processes share is counted once; elsewhere for each of them. Counting takes the system some 50 ms, so
    it isn't done often.
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
    """The process and its children, as of psutil; none where it has just ended."""
    try:
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def memory_of(process):
    """Bytes of memory of a psutil.Process, its share of it where the system says so; 0 where it has just ended."""
    try:
        used = process.memory_full_info() if sys.platform == "linux" else process.memory_info()
    except psutil.Error:
        return 0
    return getattr(used, "pss", used.rss)


def circumstances():
    """Versions and machine, flat."""
    import numpy
    import spikeinterface
    import torch

    from huidurep_sorter import __version__

    return dict(
        huidurep_sorter=__version__,
        spikeinterface=spikeinterface.__version__,
        python=platform.python_version(),
        numpy=numpy.__version__,
        torch=torch.__version__,
        system=f"{platform.system()} {platform.machine()}",
        processor=processor(),
        n_cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    )


def processor():
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"
