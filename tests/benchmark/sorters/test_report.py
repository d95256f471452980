"""Tables, figures and a study from small recordings and quick parameters; failures are rows."""

import pandas as pd
import pytest
from spikeinterface.benchmark import SorterStudy
from spikeinterface.comparison import compare_sorter_to_ground_truth

from huidurep_sorter.benchmark.sorters import cases
from huidurep_sorter.benchmark.sorters.report import count_units, split_seed
from huidurep_sorter.cli.main import main
from tests.benchmark.sorters.sorters import FAILING, LABELS, OTHER, OURS


@pytest.fixture(scope="module")
def done(data, tmp_path_factory):
    """Output of a benchmark with two sorters that work, one that fails and perhaps one that isn't there."""
    output = tmp_path_factory.mktemp("benchmark")
    arguments = ["benchmark", "sorters", "--data", str(data), "-o", str(output)]
    assert main([*arguments, "--sorters", OURS, FAILING, OTHER, "mountainsort4"]) == 1  # one of ours failed
    return output


def test_each_case_is_a_row_and_a_failure_says_why(done):
    rows = pd.read_csv(done / "recordings.csv").set_index("sorter")
    assert list(rows.index) == list(LABELS.values())
    assert list(rows["status"]) == ["ok", "failed", "ok"]
    assert "nowhere" in rows.loc[LABELS[FAILING], "error"]
    ours = rows.loc[LABELS[OURS]]
    assert ours["n_true"] == 4 and ours["accuracy"] > 0.4
    assert ours["seconds"] >= ours["seconds: total"] >= ours["seconds: detect"] > 0
    assert rows["peak_memory_gb"].between(0.05, 8).all()


def test_units_and_table_tell_the_same(done):
    units, rows = pd.read_csv(done / "units.csv"), pd.read_csv(done / "recordings.csv").set_index("sorter")
    mean = units.groupby("sorter")["accuracy"].mean()
    assert mean[LABELS[OURS]] == pytest.approx(rows.loc[LABELS[OURS], "accuracy"])
    assert (units["snr"] > 0).all() and (units["num_spikes"] > 0).all()
    text = (done / "table.md").read_text()
    assert f"| one | {mean[LABELS[OURS]]:.2f} | failed | {mean[OTHER]:.2f} |" in text
    assert "nowhere" in text and "spikeinterface | 0.105" in text
    assert "| mountainsort4 | not installed here |" in text


def test_figures_are_drawn(done):
    for name in ("accuracy_vs_snr", "run_time", "agreement", "collisions", "ours_vs_peers"):
        assert (done / f"{name}.png").stat().st_size > 5000, name


def test_collisions_and_agreement_are_shares(done):
    collisions, agreement = pd.read_csv(done / "collisions.csv"), pd.read_csv(done / "agreement.csv")
    assert (collisions["n_found"] <= collisions["n"]).all() and collisions["n"].sum() > 100
    assert agreement["share"].between(0, 1).all()
    assert {"truth", OTHER, LABELS[OURS]} == set(agreement["sorter"])


def test_whoever_knows_sorter_study_goes_on_with_it(done):
    study = SorterStudy(done / "study")
    keys = [key for key in study.cases if study.benchmarks[key] is not None]
    assert keys == [("one", LABELS[OURS]), ("one", OTHER)] and study.levels == ["recording", "sorter"]
    assert len(study.get_performance_by_unit(keys)) == 8
    assert study.get_count_units(keys).loc[("one", OTHER), "num_gt"] == 4
    assert (study.get_run_times(keys)["run_times"] > 0).all()


def test_background_units_are_not_false_positives(data, tetrode, tmp_path):
    """Of a truth without one of its units, that unit is a false positive, unless it is in the background."""
    _, truth = tetrode
    truth.select_units(truth.unit_ids[:1]).save(folder=tmp_path / "background")
    comparison = compare_sorter_to_ground_truth(truth.select_units(truth.unit_ids[1:]), truth, exhaustive_gt=True)
    units = pd.DataFrame(dict(accuracy=[1.0] * 3, precision=[1.0] * 3, recall=[1.0] * 3))
    without = count_units(comparison, units, tmp_path / "nothing")
    assert (without["n_false_positive"], without["n_background"], without["n_good"]) == (1, 0, 3)
    with_background = count_units(comparison, units, tmp_path / "background")
    assert (with_background["n_false_positive"], with_background["n_background"]) == (0, 1)


def test_small_helpers():
    assert split_seed("full_dense_seed12") == ("full_dense", "12") and split_seed("mine") == ("mine", "")


def test_what_was_run_is_kept_and_redo_gives_the_same(data, done, monkeypatch, capsys):
    ran = []
    run_case = cases.run_case
    monkeypatch.setattr(cases, "run_case", lambda study, key, *args: ran.append(key) or run_case(study, key, *args))
    arguments = ["benchmark", "sorters", "--data", str(data), "-o", str(done), "--sorters", OURS, OTHER]
    before = pd.read_csv(done / "units.csv")
    assert main(arguments) == 0
    assert ran == []
    assert main([*arguments, "--redo", OURS]) == 0
    assert ran == [("one", LABELS[OURS])]
    pd.testing.assert_frame_equal(pd.read_csv(done / "units.csv"), before)
    assert "Mean accuracy" in capsys.readouterr().out
