import numpy as np
import pytest

from huidurep_sorter.benchmark.representation import KnownSpikes, bound, score
from huidurep_sorter.benchmark.representation_report import run_benchmark
from huidurep_sorter.cli import main
from huidurep_sorter.ground_truth import PEAK_DTYPE


class FakeRecording:
    def get_num_samples(self, segment_index):
        return 90000


def make_known(n_units=6, n=80, spacing_um=25.0):
    unit = np.tile(np.arange(n_units), n)
    peaks = np.zeros(unit.size, dtype=PEAK_DTYPE)
    peaks["sample_index"] = np.linspace(300, 89000, unit.size)
    return KnownSpikes(
        recording=FakeRecording(),
        peaks=peaks,
        unit=unit,
        location_um=np.column_stack([0.0 * unit, spacing_um * unit]),
        snr=np.where(unit < 3, 5.0, 12.0),
    )


def make_features(known, separation, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(known.unit.max() + 1, 10))
    centres *= separation / np.linalg.norm(centres, axis=1, keepdims=True)
    return centres[known.unit] + rng.normal(size=(len(known.unit), 10))


def test_separate_units_score_one_and_mixed_ones_zero():
    known = make_known()
    good, bad = score(make_features(known, 30.0), known), score(make_features(known, 0.0), known)
    for measure in ("global", "local", "late", "local unknown K", "local, SNR 4 to 6", "local, SNR above 10"):
        assert good[measure] > 0.85, measure
        assert bad[measure] < 0.1, measure
    assert np.isnan(good["local, SNR 6 to 10"])


def test_a_unit_that_moves_is_lost_late_only():
    known = make_known(n_units=2)
    features = make_features(known, 12.0)
    late = known.peaks["sample_index"] > 60000
    features[late & (known.unit == 0)] = make_features(known, 12.0)[late & (known.unit == 1)][
        : (late & (known.unit == 0)).sum()
    ]
    scores = score(features, known)
    assert scores["late"] < 0.1


def test_the_bound_knows_the_labels():
    known = make_known()
    assert bound(make_features(known, 30.0), known) > 0.95
    assert bound(make_features(known, 0.0), known) < 0.1


def test_a_folder_of_recordings_becomes_a_table_and_a_figure(tetrode, tmp_path, capsys):
    recording, truth = tetrode
    for name in ("one", "two"):
        recording.save(folder=tmp_path / "data" / name / "recording", progress_bar=False, verbose=False)
        truth.save(folder=tmp_path / "data" / name / "sorting")
    arguments = ["benchmark", "representation", str(tmp_path / "data"), "-o", str(tmp_path / "out"), "--seeds", "0"]
    assert main([*arguments, "--features", "pca", "fast"]) == 0
    assert "| one | pca |" in capsys.readouterr().out
    assert (tmp_path / "out" / "representation.png").stat().st_size > 10_000
    table = run_benchmark(tmp_path / "data", tmp_path / "out", ["pca", "fast"], [0])
    assert table[(table["features"] == "bound")]["value"].between(0.5, 1).all()
    local = table[table["measure"] == "local"].set_index(["recording", "features"])["value"]
    assert (local > 0.5).all()


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="no subfolder"):
        run_benchmark(tmp_path, tmp_path / "out")
