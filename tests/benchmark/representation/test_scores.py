import numpy as np
import pytest

from huidurep_sorter.benchmark.representation.known_spikes import KnownSpikes, draw_spikes, read_known_spikes
from huidurep_sorter.benchmark.representation.scores import bound, score
from huidurep_sorter.training.known_spikes import PEAK_DTYPE


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
        sample_index=peaks["sample_index"],
        unit=unit,
        unit_ids=np.arange(n_units),
        location_um=np.column_stack([0.0 * unit, spacing_um * unit]),
        snr=np.where(unit < 3, 5.0, 12.0),
        collides=np.zeros(unit.size, dtype=bool),
    )


def make_features(known, separation, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(known.unit.max() + 1, 10))
    centres *= separation / np.linalg.norm(centres, axis=1, keepdims=True)
    return centres[known.unit] + rng.normal(size=(len(known.unit), 10))


def test_separate_units_score_one_and_mixed_ones_zero():
    known = make_known()
    good, bad = score(make_features(known, 30.0), known), score(make_features(known, 0.0), known)
    for measure in ("global", "local", "early", "late", "local unknown K", "local, SNR 4 to 6", "local, SNR above 10"):
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
    assert scores["early"] > 0.9


def test_the_bound_knows_the_labels():
    known = make_known()
    assert bound(make_features(known, 30.0), known) > 0.95
    assert bound(make_features(known, 0.0), known) < 0.1


def save(folder, recording, truth):
    recording.save(folder=folder / "recording", progress_bar=False, verbose=False)
    truth.save(folder=folder / "sorting")
    return folder


def test_known_spikes_are_in_order_and_know_their_collisions(tetrode, tmp_path):
    recording, truth = tetrode
    known = read_known_spikes(save(tmp_path / "one", recording, truth))
    assert (np.diff(known.peaks["sample_index"]) >= 0).all()
    assert (np.abs(known.peaks["sample_index"] - known.sample_index) <= 4).all()
    spikes = truth.to_spike_vector()
    for i in range(0, len(known.unit), 23):
        near = np.abs(spikes["sample_index"] - known.sample_index[i]) <= 30
        assert known.collides[i] == (near & (spikes["unit_index"] != known.unit[i])).any()
    assert 0 < known.collides.mean() < 1


def test_at_most_so_many_spikes_are_drawn_by_seed():
    known = make_known(n_units=2, n=80)
    drawn = draw_spikes(known, 50, seed=3)
    assert np.bincount(known.unit[drawn]).tolist() == [50, 50]
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, draw_spikes(known, 50, seed=3))
    assert not np.array_equal(drawn, draw_spikes(known, 50, seed=4))


def test_a_recording_without_enough_spikes_is_named(tetrode, tmp_path):
    recording, truth = tetrode
    folder = save(tmp_path / "short", recording.frame_slice(0, 30000), truth.frame_slice(0, 30000))
    with pytest.raises(ValueError, match="short: no unit has 40 spikes"):
        read_known_spikes(folder)
