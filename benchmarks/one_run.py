"""Run one sorter once, and write what it took as JSON. `speed.py` runs this in a process of its own."""

import json
import sys
import time
import traceback
from pathlib import Path

from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.core import load, set_global_job_kwargs
from spikeinterface.sorters import run_sorter, sorter_dict

import huidurep_sorter.pipeline  # noqa: F401  or its imports, most of which other sorters have too, would be measured
from huidurep_sorter.benchmark.sorters.run_case import last_line, own_peak_gb
from huidurep_sorter.runtime import cpu_seconds


def main(folder, name, params, n_jobs, output, written):
    """Sort `folder/recording`, score it by `folder/sorting`, and write the record."""
    recording, truth = load(Path(folder) / "recording"), load(Path(folder) / "sorting")
    set_global_job_kwargs(n_jobs=int(n_jobs), progress_bar=False)
    record = dict(sorter_version=str(sorter_dict[name].get_sorter_version()))
    start, cpu_start = time.perf_counter(), cpu_seconds()
    try:
        sorting = run_sorter(name, recording, folder=output, **json.loads(params))
        record |= dict(seconds=time.perf_counter() - start, cpu_seconds=cpu_seconds() - cpu_start)
        record |= dict(status="ok", peak_memory_gb=own_peak_gb(), **score(truth, sorting))
    except Exception as error:
        traceback.print_exc()
        record |= dict(status="failed", error=last_line(error), peak_memory_gb=own_peak_gb())
    Path(written).write_text(json.dumps(record), encoding="utf8")


def score(truth, sorting):
    """Count units and spikes, and average SpikeInterface's accuracy over the true units, found or not."""
    counts = dict(n_units=len(sorting.unit_ids), n_spikes=len(sorting.to_spike_vector()))
    if counts["n_units"] == 0:  # SpikeInterface compares no empty sorting
        return counts | dict(accuracy=0.0)
    comparison = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
    accuracy = comparison.get_performance()["accuracy"].astype("float64").fillna(0.0)
    return counts | dict(accuracy=float(accuracy.mean()))


if __name__ == "__main__":
    main(*sys.argv[1:])
