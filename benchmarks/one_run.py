"""Run one sorter once, and write what it took as JSON. `speed.py` runs this in a process of its own."""

import json
import sys
import time
import traceback
from pathlib import Path

from spikeinterface.comparison import compare_sorter_to_ground_truth
from spikeinterface.core import load, set_global_job_kwargs
from spikeinterface.sorters import run_sorter, sorter_dict

from huidurep_sorter.benchmark.sorters.run_case import last_line, own_peak_gb
from huidurep_sorter.runtime import cpu_seconds


def main(warm_up, folder, name, params, n_jobs, output, written):
    """Sort `warm_up/recording`, then measure the same on `folder/recording`, score it, and write the record.

    The first sort imports and compiles. Some sorters compile in each process, so it is done in this one.
    """
    recording, truth, params = load(Path(folder) / "recording"), load(Path(folder) / "sorting"), json.loads(params)
    record = dict(sorter_version=str(sorter_dict[name].get_sorter_version()))
    try:
        set_global_job_kwargs(n_jobs=1, progress_bar=False)
        first = dict(folder=Path(output).with_name("warm_up"), delete_output_folder=True)
        run_sorter(name, load(Path(warm_up) / "recording"), **first, **params)
        set_global_job_kwargs(n_jobs=int(n_jobs))
        start, cpu_start = time.perf_counter(), cpu_seconds()
        sorting = run_sorter(name, recording, folder=output, **params)
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
