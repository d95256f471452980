"""Keep a `SorterStudy` of SpikeInterface in a folder, with a case for each recording and sorter."""

import json
import shutil
from pathlib import Path

from spikeinterface.benchmark import SorterStudy
from spikeinterface.core import create_sorting_analyzer, load

LEVELS = ["recording", "sorter"]
QUIET = dict(n_jobs=1, progress_bar=False)


def open_study(folder, recordings, sorters):
    """Open the study of a folder, and add what it lacks. What it has already is kept.

    Parameters
    ----------
    folder : str or Path
    recordings : list of Path
        Folders with `recording` and `sorting`. The name of the folder is that of the recording.
    sorters : list of SorterChoice

    Returns
    -------
    study : SorterStudy

    Raises
    ------
    ValueError
        If the study has another recording of the same name.
    """
    folder = Path(folder)
    cases = {(one.name, sorter.label): _case(one, sorter) for one in recordings for sorter in sorters}
    if not (folder / "cases.pickle").exists():  # the last file that `create` writes
        shutil.rmtree(folder, ignore_errors=True)
        datasets = {one.name: describe_truth(one) for one in recordings}
        SorterStudy.create(folder, datasets=datasets, cases=cases, levels=LEVELS)
    remember_sources(folder, recordings)
    add_datasets(folder, recordings)
    study = SorterStudy(folder)
    study.add_cases({key: case for key, case in cases.items() if key not in study.cases})
    return SorterStudy(folder)


def _case(recording, sorter):
    """Describe a case as SorterStudy wants it."""
    return dict(
        dataset=recording.name,
        label=f"{sorter.label} on {recording.name}",
        params=dict(sorter_name=sorter.name, **sorter.params),
    )


def describe_truth(folder):
    """Compute the analyzer of the true units, with what the study and the report ask of it."""
    recording, sorting = load(folder / "recording"), load(folder / "sorting")
    analyzer = create_sorting_analyzer(sorting, recording, sparse=False, job_kwargs=QUIET)
    analyzer.compute("random_spikes", seed=0)
    analyzer.compute("noise_levels", random_slices_kwargs=dict(seed=0), **QUIET)
    analyzer.compute(["templates", "template_similarity"], **QUIET)
    analyzer.compute("quality_metrics", metric_names=["snr", "firing_rate", "num_spikes"], **QUIET)
    return analyzer


def remember_sources(folder, recordings):
    """Keep where the recordings come from, and refuse another recording of the same name."""
    listed = folder / "sources.json"
    sources = json.loads(listed.read_text(encoding="utf8")) if listed.exists() else {}
    for one in recordings:
        if sources.setdefault(one.name, str(one.resolve())) != str(one.resolve()):
            raise ValueError(f"{folder} has results of another {one.name!r}: give another output folder")
    listed.write_text(json.dumps(sources, indent=4), encoding="utf8")


def add_datasets(folder, recordings):
    """Add recordings to a study that exists. SorterStudy itself can only add cases."""
    listed = folder / "analyzers_path.json"
    paths = json.loads(listed.read_text(encoding="utf8"))
    for one in recordings:
        if one.name not in paths:
            where = folder / "sorting_analyzer" / one.name
            shutil.rmtree(where, ignore_errors=True)
            describe_truth(one).save_as(format="binary_folder", folder=where)
            paths[one.name] = str(where.resolve())
            listed.write_text(json.dumps(paths, indent=4), encoding="utf8")
