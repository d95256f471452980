"""The tables of the sorter benchmark; figures are in `sorters_figures`."""

import re
from pathlib import Path

import numpy as np

from huidurep_sorter.benchmark.collisions import RADIUS_UM, collision_recall, spikes_found
from huidurep_sorter.benchmark.sorters import study as sorters
from huidurep_sorter.benchmark.sorters.markdown import markdown

SCORES = ("accuracy", "precision", "recall")
GOOD = 0.8
FOUND_BACKGROUND = 0.2  # agreement above which SpikeInterface calls a unit redundant instead of false


def run_benchmark(output, pairs, texts, n_jobs=1, redo=(), time_limit_s=None, verbose=False):
    """Run sorters on recordings with ground truth, and report.

    Parameters
    ----------
    output : str or Path
        Gets `study/` (a `SorterStudy`), `units.csv`, `recordings.csv`, `agreement.csv`, `collisions.csv`,
        `table.md` and figures. What has been run is kept; what is reported is what `pairs` and `texts` name.
    pairs : list of Path
        Folders with `recording`, `sorting` and, if there are true units that needn't be found, `background`.
    texts : sequence of str
        Sorters as in `parse_sorter`; those that aren't installed are skipped, with a word in the table.
    n_jobs : int, default: 1
        SpikeInterface's, for every sorter.
    redo : sequence of str, default: ()
        Those of `texts` that run anew.
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
    from huidurep_sorter.benchmark.sorters.figures import save_figures

    output = Path(output)
    chosen, skipped = sorters.choose_sorters(texts)
    if not chosen:
        raise ValueError(f"none of the sorters is installed: {', '.join(skipped)}")
    study = sorters.open_study(output / "study", pairs, chosen)
    keys = [(pair.name, choice.label) for pair in pairs for choice in chosen]
    for key in keys:
        if key[1] in {sorters.parse_sorter(text).label for text in redo}:
            study.remove_benchmark(key)
    sorters.run_cases(study, keys, n_jobs, time_limit_s, verbose)
    study = type(study)(study.folder)
    tables = tabulate(study, keys, {pair.name: pair / "background" for pair in pairs})
    for name, table in tables.items():
        table.to_csv(output / f"{name}.csv", index=False)
    (output / "table.md").write_text(markdown(tables["recordings"], skipped), encoding="utf8")
    save_figures(tables, output)
    return tables


def tabulate(study, keys, backgrounds):
    """Tables by name, of the cases named by `keys`, all of which have a record."""
    import pandas as pd

    units, recordings, collisions = [], [], []
    for key in keys:
        row = case_row(study, key)
        recordings.append(row)
        if row["status"] != "ok":
            continue
        comparison = compare(study, key)
        units.append(unit_rows(study, key, comparison))
        row |= count_units(comparison, units[-1], backgrounds[key[0]])
        where = {k: row[k] for k in ("recording", "seed", "sorter")}
        collisions += [where | r for r in collision_rows(study, key, comparison)]
    return dict(
        units=pd.concat(units, ignore_index=True) if units else pd.DataFrame(columns=UNIT_COLUMNS),
        recordings=pd.DataFrame(recordings),
        collisions=pd.DataFrame(collisions, columns=COLLISION_COLUMNS),
        agreement=pd.DataFrame(agreement_rows(study, keys), columns=AGREEMENT_COLUMNS),
    )


WHERE = ["recording", "seed", "sorter"]
UNIT_COLUMNS = [*WHERE, "unit", "snr", "firing_rate", "num_spikes", *SCORES, "matched"]
COLLISION_COLUMNS = [*WHERE, "lag_ms", "similarity", "n", "n_found"]
AGREEMENT_COLUMNS = ["recording", "seed", "sorter", "other", "share"]


def split_seed(name):
    """Recording and seed (text) of "NAME_seedS"; other names have no seed."""
    found = re.fullmatch(r"(.+)_seed(\d+)", name)
    return found.groups() if found else (name, "")


def case_row(study, key):
    """What is known of a case whether or not it worked."""
    recording, seed = split_seed(key[0])
    row = dict(recording=recording, seed=seed, sorter=key[1]) | sorters.read_record(study, key)
    stages = read_stages(study.folder / "sorters" / study.key_to_str(key) / "sorter_output" / "huidurep.log")
    return row | {f"seconds: {stage}": seconds for stage, seconds in stages.items()}


def read_stages(log):
    """Stage to seconds, from the log that our sorter leaves; empty for other sorters."""
    stages = {}
    if log.exists():
        for stage, seconds in re.findall(r"INFO (\w+): ([\d.]+) s$", log.read_text(encoding="utf8"), re.MULTILINE):
            stages[stage] = stages.get(stage, 0.0) + float(seconds)
    return stages


def compare(study, key):
    """SpikeInterface's comparison with the truth, computed once and kept in the study."""
    from huidurep_sorter.sorter import with_integer_ids

    result = study.get_result(key)
    if len(result["sorting"].unit_ids) == 0:
        result["sorting"] = with_integer_ids(result["sorting"])
    if "gt_comparison" not in result:
        study.compute_results([key], exhaustive_gt=True)
    return study.get_result(key)["gt_comparison"]


def unit_rows(study, key, comparison):
    """A row for each true unit."""
    import pandas as pd

    truth, metrics = study.datasets[key[0]][1], study.get_metrics(key)
    performance = comparison.get_performance().loc[truth.unit_ids, list(SCORES)].astype("float64").fillna(0.0)
    snr = truth.get_property("snr")
    recording, seed = split_seed(key[0])
    table = dict(recording=recording, seed=seed, sorter=key[1], unit=truth.unit_ids)
    table |= dict(snr=metrics["snr"].to_numpy() if snr is None else snr)
    table |= {name: metrics[name].to_numpy() for name in ("firing_rate", "num_spikes")}
    table |= {name: performance[name].to_numpy() for name in SCORES}
    match = matches(comparison)
    return pd.DataFrame(table | dict(matched=[match.get(unit, "") for unit in truth.unit_ids]))


def matches(comparison):
    """True unit to its unit of the sorter, for those that have one."""
    return {true: found for true, found in comparison.hungarian_match_12.items() if found not in (-1, "")}


def count_units(comparison, units, background):
    """Means over the true units, and counts of good and of bad units.

    A unit that agrees with one of `background` (a folder with a sorting, or nothing) isn't a false positive.
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
    """Ids of the units that agree with a background unit."""
    from spikeinterface.comparison import compare_sorter_to_ground_truth
    from spikeinterface.core import load

    if not background.exists() or len(sorting.unit_ids) == 0:
        return set()
    scores = compare_sorter_to_ground_truth(load(background), sorting).agreement_scores
    return set(scores.columns[scores.max(axis=0) >= FOUND_BACKGROUND])


def collision_rows(study, key, comparison):
    """Recall by lag and similarity, as `collision_recall` gives it."""
    analyzer, truth = study.get_sorting_analyzer(key), study.datasets[key[0]][1]
    templates = study.get_templates(key)
    main = np.ptp(templates, axis=1).argmax(axis=1)
    where = analyzer.get_channel_locations()[main]
    close = np.linalg.norm(where[:, None] - where[None], axis=2) <= RADIUS_UM
    np.fill_diagonal(close, False)
    similarity = analyzer.get_extension("template_similarity").get_data()
    found = spikes_found(truth, comparison.sorting2, matches(comparison))
    return collision_recall(truth, found, close, similarity)


def agreement_rows(study, keys):
    """Share of a sorter's units that another sorter found too, for each two sorters on each recording."""
    from spikeinterface.comparison import compare_two_sorters

    sortings = {}
    for recording, sorter in keys:
        benchmark = study.benchmarks[recording, sorter]
        if sorters.read_record(study, (recording, sorter))["status"] == "ok":
            sortings.setdefault(recording, {})[sorter] = benchmark.result["sorting"]
    rows = []
    for name, found in sortings.items():
        recording, seed = split_seed(name)
        found = {"truth": study.datasets[name][1]} | found
        labels = [label for label in found if len(found[label].unit_ids)]
        for i, one in enumerate(labels):
            for two in labels[i + 1 :]:
                comparison = compare_two_sorters(found[one], found[two], sorting1_name=one, sorting2_name=two)
                n = len(matches(comparison))
                for label, other in ((one, two), (two, one)):
                    share = n / len(found[label].unit_ids)
                    rows.append(dict(recording=recording, seed=seed, sorter=label, other=other, share=share))
    return rows
