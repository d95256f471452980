"""The whole path on small recordings of known spikes."""

import logging

import numpy as np
import pytest
from probeinterface import ProbeGroup, generate_tetrode
from spikeinterface.core import NumpyRecording

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.pipeline import sort_recording
from huidurep_sorter.traces.traces import LearningLimits

WELL_ABOVE_NOISE = 8.0
PROPERTIES = (
    "huidurep_snr",
    "huidurep_num_spikes",
    "huidurep_firing_rate",
    "huidurep_isi_violations_ratio",
    "huidurep_presence_ratio",
    "huidurep_amplitude_cutoff",
    "huidurep_nn_hit_rate",
    "huidurep_x",
    "huidurep_y",
    "main_channel_id",
    "group",
)


def make(durations=(40.0,), num_channels=16, num_units=6, seed=1, **kwargs):
    from spikeinterface.core import generate_ground_truth_recording

    recording, truth = generate_ground_truth_recording(
        durations=list(durations), num_channels=num_channels, num_units=num_units, seed=seed, **kwargs
    )
    return recording.save(format="memory", verbose=False, progress_bar=False), truth


@pytest.fixture(scope="module")
def single():
    return make()


@pytest.fixture(scope="module")
def double():
    return make(durations=(25.0, 20.0))


def loud_units(recording, truth):
    """Ids of the units whose SNR is at least `WELL_ABOVE_NOISE`."""
    from spikeinterface.core import create_sorting_analyzer

    analyzer = create_sorting_analyzer(truth, recording, sparse=False)
    analyzer.compute(["random_spikes", "templates", "noise_levels"])
    analyzer.compute("quality_metrics", metric_names=["snr"])
    snr = analyzer.get_extension("quality_metrics").get_data()["snr"]
    return np.asarray(truth.unit_ids)[snr.to_numpy() >= WELL_ABOVE_NOISE]


def accuracies(recording, truth, sorting):
    from spikeinterface.comparison import compare_sorter_to_ground_truth

    compared = compare_sorter_to_ground_truth(truth, sorting, exhaustive_gt=True)
    return compared.get_performance()["accuracy"].loc[loud_units(recording, truth)].astype(float)


@pytest.mark.parametrize("features", ["svd", "huidurep"])
def test_loud_units_are_found_with_their_properties(single, features):
    recording, truth = single
    sorting = sort_recording(recording, SortingParameters(features=features))
    found = accuracies(recording, truth, sorting)
    assert len(found) >= 3
    assert found.mean() >= 0.85
    assert set(PROPERTIES) <= set(sorting.get_property_keys())
    assert (
        (sorting.get_property("huidurep_nn_hit_rate") >= 0) & (sorting.get_property("huidurep_nn_hit_rate") <= 1)
    ).all()
    assert sorting.get_property("huidurep_num_spikes").sum() == sorting.to_spike_vector().size


def test_the_same_seed_gives_the_same_spikes_for_any_number_of_jobs(single):
    recording, _ = single
    parameters = SortingParameters(features="svd", seed=5)
    first, second = (sort_recording(recording, parameters, job_kwargs=dict(n_jobs=n)) for n in (1, 2))
    np.testing.assert_array_equal(first.to_spike_vector(), second.to_spike_vector())


@pytest.mark.parametrize("chunks", [dict(chunk_duration="50ms"), dict(chunk_size=100_000), dict(total_memory="20M")])
def test_no_chunk_changes_a_spike(single, chunks):
    recording, _ = single
    part = recording.frame_slice(0, 250_000)
    parameters = SortingParameters(features="svd")
    plain, other = (sort_recording(part, parameters, job_kwargs=kwargs) for kwargs in (None, chunks))
    assert len(plain.to_spike_vector()) > 100
    np.testing.assert_array_equal(plain.to_spike_vector(), other.to_spike_vector())


def test_a_long_recording_is_learned_from_in_part_and_sorted_as_well(monkeypatch):
    """Of 40 s on 16 channels every third is learned from."""
    recording, truth = make(seed=3)
    monkeypatch.setattr("huidurep_sorter.traces.traces.LIMITS", LearningLimits(channel_seconds=16 * 14.0))
    sorting = sort_recording(recording, SortingParameters())
    assert accuracies(recording, truth, sorting).mean() >= 0.85


def test_what_is_kept_of_a_long_recording_changes_no_spike(monkeypatch, tmp_path, caplog):
    """All 13 seconds that are learned from are kept, or 2 of them; by default the whole recording is."""
    caplog.set_level(logging.INFO, logger="huidurep_sorter")
    monkeypatch.setattr("huidurep_sorter.traces.traces.LIMITS", LearningLimits(channel_seconds=16 * 13.0))
    recording, _ = make(seed=3)
    whole = sort_recording(recording, SortingParameters(features="svd"))
    assert len(whole.to_spike_vector()) > 100 and "are kept" not in caplog.text
    for max_cache_gb, n_seconds in ((0.03, 13), (0.004, 2)):
        parameters = SortingParameters(features="svd", max_cache_gb=max_cache_gb)
        part = sort_recording(recording, parameters, folder=tmp_path)
        np.testing.assert_array_equal(part.to_spike_vector(), whole.to_spike_vector())
        assert f"{n_seconds} of the stretches that are learned from are kept" in caplog.text
        assert not (tmp_path / "cache_preprocessing").exists()


def test_each_segment_is_sorted_well(double):
    from spikeinterface.core import SelectSegmentSorting

    recording, truth = double
    sorting = sort_recording(recording, SortingParameters(features="svd"))
    assert sorting.get_num_segments() == 2
    for segment in range(2):
        part, true_part = recording.select_segments([segment]), SelectSegmentSorting(truth, segment)
        assert accuracies(part, true_part, SelectSegmentSorting(sorting, segment)).mean() >= 0.85


def test_segments_are_sorted_as_one_recording_would_be(double):
    from spikeinterface.core import concatenate_recordings

    recording, _ = double
    parameters = SortingParameters(features="svd", apply_preprocessing=False)
    apart, joined = (sort_recording(r, parameters) for r in (recording, concatenate_recordings([recording])))
    spikes = apart.to_spike_vector()
    assert len(spikes) > 100
    np.testing.assert_array_equal(apart.unit_ids, joined.unit_ids)
    samples = spikes["sample_index"] + np.array([0, recording.get_num_samples(0)])[spikes["segment_index"]]
    np.testing.assert_array_equal(samples, joined.to_spike_vector()["sample_index"])
    np.testing.assert_array_equal(apart.get_property("huidurep_snr"), joined.get_property("huidurep_snr"))


@pytest.mark.parametrize("num_channels", [1, 2, 4])
def test_few_channels_are_sorted(num_channels):
    recording, _ = make(durations=(20.0,), num_channels=num_channels, num_units=2)
    sorting = sort_recording(recording, SortingParameters(features="svd"))
    assert len(sorting.unit_ids) >= 1


def test_a_slow_clock_is_no_obstacle():
    recording, truth = make(durations=(40.0,), num_channels=4, num_units=3, sampling_frequency=15000.0)
    sorting = sort_recording(recording, SortingParameters())
    assert accuracies(recording, truth, sorting).mean() >= 0.7


def test_no_unit_reaches_over_two_shanks(single):
    recording, _ = single
    near = recording.clone()
    near.set_property("group", np.arange(16) % 2)  # interleaved: as near as shanks can be
    sorting = sort_recording(near, SortingParameters(features="svd", debug=False))
    channels = [list(recording.channel_ids).index(c) for c in sorting.get_property("main_channel_id")]
    np.testing.assert_array_equal(sorting.get_property("group"), np.asarray(channels) % 2)


def test_two_probes_are_sorted_in_one_go():
    recording, truth = make(durations=(20.0,), num_channels=4, num_units=3, seed=2)
    group = ProbeGroup()
    for k in range(2):
        probe = generate_tetrode()
        probe.move([300.0 * k, 0.0])
        group.add_probe(probe)
    group.set_global_device_channel_indices(np.arange(8))
    traces = recording.get_traces()
    both = NumpyRecording([np.hstack([traces, np.roll(traces, 54321, axis=0)])], recording.sampling_frequency)
    both.set_probegroup(group, group_mode="by_probe", in_place=True)
    sorting = sort_recording(both, SortingParameters(features="svd"))
    groups = sorting.get_property("group")
    assert (groups == 0).sum() >= 2 and (groups == 1).sum() >= 2


def test_noise_gives_an_empty_sorting_and_says_so(caplog):
    from spikeinterface.core import generate_recording

    recording = generate_recording(num_channels=4, durations=[5.0], seed=0)
    with caplog.at_level(logging.WARNING, logger="huidurep_sorter"), pytest.warns(UserWarning, match="empty"):
        sorting = sort_recording(recording, SortingParameters(features="svd", detect_threshold=20.0))
    assert len(sorting.unit_ids) == 0
    assert "empty" in caplog.text


def test_intermediate_arrays_are_saved_on_request(single, tmp_path):
    recording, _ = single
    sort_recording(recording, SortingParameters(features="svd", save_array=True), folder=tmp_path)
    saved = {name: np.load(tmp_path / f"{name}.npy") for name in ("peaks", "features", "positions", "labels")}
    assert len({len(array) for array in saved.values()}) == 1
    assert (tmp_path / "templates.npy").exists()
