"""Run the sorter benchmark, and make its tables."""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from spikeinterface.comparison import compare_sorter_to_ground_truth, compare_two_sorters
from spikeinterface.core import load

from huidurep_sorter.benchmark.collisions import close_units, collision_recall, matched_units, spikes_found
from huidurep_sorter.benchmark.sorters.cases import read_record, run_cases
from huidurep_sorter.benchmark.sorters.choices import choose_sorters, parse_sorter
from huidurep_sorter.benchmark.sorters.figures import save_figures
from huidurep_sorter.benchmark.sorters.markdown import markdown
from huidurep_sorter.benchmark.sorters.study import open_study
from huidurep_sorter.runtime import read_stages
from huidurep_sorter.sorter import copy_to_memory

SCORES = ("accuracy", "precision", "recall")
WHERE = ["recording", "seed", "sorter"]
UNIT_COLUMNS = [*WHERE, "unit", "snr", "firing_rate", "num_spikes", *SCORES, "matched"]
COLLISION_COLUMNS = [*WHERE, "lag_ms", "similarity", "n", "n_found"]
AGREEMENT_COLUMNS = [*WHERE, "other", "share"]
GOOD = 0.8
FOUND_BACKGROUND = 0.2  # agreement above which SpikeInterface calls a unit redundant instead of false


def run_benchmark(output, recordings, texts, n_jobs=1, redo=(), time_limit_s=None, verbose=False):
    """Run sorters on recordings with ground truth, and write tables and figures.

    Parameters
    ----------
    output : str or Path
        Gets `study/` (a `SorterStudy`), `units.csv`, `recordings.csv`, `agreement.csv`, `collisions.csv`,
        `table.md` and figures. What has been run is kept. The tables show what `recordings` and `texts` name.
    recordings : list of Path
        Folders with `recording` and `sorting`. A sorting `background` beside them holds true units that needn't be
        found.
    texts : sequence of str
        Sorters as in `parse_sorter`. Those that aren't installed are skipped, and `table.md` says so.
    n_jobs : int, default: 1
        SpikeInterface's, for every sorter.
    redo : sequence of str, default: ()
        Sorters that run anew, in the words of `texts`.
    time_limit_s : float, optional
        A sorter that takes longer on one recording is stopped: a failure like any other.
    verbose : bool, default: False

    Returns
    -------
    tables : dict of pandas.DataFrame
        "units", "recordings", "agreement", "collisions".

    Raises
    ------
    ValueError
        For sorters that don't exist, or where none is installed.
    """
    output = Path(output)
    chosen, skipped = choose_sorters(texts)
    if not chosen:
        raise ValueError(f"none of the sorters is installed: {', '.join(skipped)}")
    study = open_study(output / "study", recordings, chosen)
    keys = [(one.name, choice.label) for one in recordings for choice in chosen]
    for key in keys:
        if key[1] in {parse_sorter(text).label for text in redo}:
            study.remove_benchmark(key)
    run_cases(study, keys, n_jobs, time_limit_s, verbose)
    study = type(study)(study.folder)  # reads what the processes wrote
    tables = tabulate(study, keys, {one.name: one / "background" for one in recordings})
    for name, table in tables.items():
        table.to_csv(output / f"{name}.csv", index=False)
    (output / "table.md").write_text(markdown(tables["recordings"], skipped), encoding="utf8")
    save_figures(tables, output)
    return tables


def tabulate(study, keys, backgrounds):
    """Make the tables, by name, of the cases `keys`, all of which have a record."""
    units, recordings, collisions = [], [], []
    for key in keys:
        row = case_row(study, key)
        recordings.append(row)
        if row["status"] != "ok":
            continue
        comparison = compare(study, key)
        units.append(unit_rows(study, key, comparison))
        row |= count_units(comparison, units[-1], backgrounds[key[0]])
        where = {k: row[k] for k in WHERE}
        collisions += [where | r for r in collision_rows(study, key, comparison)]
    return dict(
        units=pd.concat(units, ignore_index=True) if units else pd.DataFrame(columns=UNIT_COLUMNS),
        recordings=pd.DataFrame(recordings),
        collisions=pd.DataFrame(collisions, columns=COLLISION_COLUMNS),
        agreement=pd.DataFrame(agreement_rows(study, keys), columns=AGREEMENT_COLUMNS),
    )


def split_seed(name):
    """Return recording and seed, both text, of "NAME_seedS". The seed of another name is ""."""
    found = re.fullmatch(r"(.+)_seed(\d+)", name)
    return found.groups() if found else (name, "")


def case_row(study, key):
    """Return what is known of a case whether or not it worked."""
    recording, seed = split_seed(key[0])
    row = dict(recording=recording, seed=seed, sorter=key[1]) | read_record(study, key)
    log = study.folder / "sorters" / study.key_to_str(key) / "sorter_output" / "huidurep.log"  # other sorters have none
    stages = read_stages(log.read_text(encoding="utf8")) if log.exists() else {}
    return row | {f"seconds: {name}": sum(seconds for seconds, *_ in runs) for name, runs in stages.items()}


def compare(study, key):
    """Return SpikeInterface's comparison with the truth. It is computed once and kept in the study."""
    result = study.get_result(key)
    if len(result["sorting"].unit_ids) == 0:
        result["sorting"] = copy_to_memory(result["sorting"])
    if "gt_comparison" not in result:
        study.compute_results([key], exhaustive_gt=True)
    return study.get_result(key)["gt_comparison"]


def unit_rows(study, key, comparison):
    """Make a row for each true unit."""
    truth, metrics = study.datasets[key[0]][1], study.get_metrics(key)
    performance = comparison.get_performance().loc[truth.unit_ids, list(SCORES)].astype("float64").fillna(0.0)
    snr = truth.get_property("snr")
    recording, seed = split_seed(key[0])
    table = dict(recording=recording, seed=seed, sorter=key[1], unit=truth.unit_ids)
    table |= dict(snr=metrics["snr"].to_numpy() if snr is None else snr)
    table |= {name: metrics[name].to_numpy() for name in ("firing_rate", "num_spikes")}
    table |= {name: performance[name].to_numpy() for name in SCORES}
    match = matched_units(comparison)
    return pd.DataFrame(table | dict(matched=[match.get(unit, "") for unit in truth.unit_ids]))


def count_units(comparison, units, background):
    """Average the scores over the true units, and count good and bad units.

    Parameters
    ----------
    comparison : GroundTruthComparison
    units : pandas.DataFrame
        As from `unit_rows`.
    background : Path
        A sorting, if it exists. A found unit that agrees with one of its units isn't a false positive.
    """
    false = comparison.get_false_positive_units()
    excused = background_units(comparison.sorting2, background)
    return dict(
        n_true=len(units),
        n_found=len(comparison.sorting2.unit_ids),
        **{score: units[score].mean() for score in SCORES},
        n_good=int((units["accuracy"] >= GOOD).sum()),
        n_false_positive=len([unit for unit in false if unit not in excused]),
        n_background=len([unit for unit in false if unit in excused]),
        n_redundant=comparison.count_redundant_units(),
        n_overmerged=comparison.count_overmerged_units(),
    )


def background_units(sorting, background):
    """Return the ids of the units that agree with a background unit."""
    if not background.exists() or len(sorting.unit_ids) == 0:
        return set()
    scores = compare_sorter_to_ground_truth(load(background), sorting).agreement_scores
    return set(scores.columns[scores.max(axis=0) >= FOUND_BACKGROUND])


def collision_rows(study, key, comparison):
    """Count found collisions by lag and similarity, as `collision_recall` does."""
    analyzer, truth = study.get_sorting_analyzer(key), study.datasets[key[0]][1]
    templates = study.get_templates(key)
    main = np.ptp(templates, axis=1).argmax(axis=1)
    close = close_units(analyzer.get_channel_locations()[main])
    similarity = analyzer.get_extension("template_similarity").get_data()
    found = spikes_found(truth, comparison.sorting2, matched_units(comparison))
    return collision_recall(truth, found, close, similarity)


def agreement_rows(study, keys):
    """Compute the share of a sorter's units that another sorter found too, for any two sorters on each recording."""
    rows = []
    for name, found in found_sortings(study, keys).items():
        recording, seed = split_seed(name)
        found = {"truth": study.datasets[name][1]} | found
        labels = [label for label in found if len(found[label].unit_ids)]
        for one, two in combinations(labels, 2):
            comparison = compare_two_sorters(found[one], found[two], sorting1_name=one, sorting2_name=two)
            n = len(matched_units(comparison))
            for label, other in ((one, two), (two, one)):
                share = n / len(found[label].unit_ids)
                rows.append(dict(recording=recording, seed=seed, sorter=label, other=other, share=share))
    return rows


def found_sortings(study, keys):
    """Return the sortings by recording, then by sorter, of the cases that worked."""
    sortings = {}
    for recording, sorter in keys:
        if read_record(study, (recording, sorter))["status"] == "ok":
            found = study.benchmarks[recording, sorter].result["sorting"]
            sortings.setdefault(recording, {})[sorter] = found
    return sortings
