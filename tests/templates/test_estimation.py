"""Templates of peaks of known units, and matching."""

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.templates import estimation as templates
from tests.spikes.test_detection import noise_with_spikes


@pytest.fixture(scope="module")
def spiking():
    recording, times = noise_with_spikes()
    peaks = np.zeros(len(times), dtype=[("sample_index", "i8"), ("channel_index", "i8"), ("segment_index", "i8")])
    peaks["sample_index"], peaks["channel_index"] = times, 2
    return recording, peaks


def test_the_template_is_the_mean_spike_on_near_channels(spiking):
    recording, peaks = spiking
    found = templates.estimate_templates(recording, peaks, np.zeros(len(peaks), int), SortingParameters())
    dense = found.get_dense_templates()[0]
    assert dense[found.nbefore, 2] == pytest.approx(-15, abs=0.5)
    assert np.abs(dense[:, 0]).max() == 0  # 200 um away


def test_unlabelled_peaks_make_no_template(spiking):
    recording, peaks = spiking
    assert templates.estimate_templates(recording, peaks, np.full(len(peaks), -1), SortingParameters()) is None


def test_late_peaks_are_aligned(spiking):
    recording, peaks = spiking
    late = peaks.copy()
    late["sample_index"] += 7
    labels = np.full(len(peaks), 3)
    found = templates.estimate_templates(recording, late, labels, SortingParameters())
    aligned = templates.align(late, labels, found)
    np.testing.assert_allclose(aligned, peaks["sample_index"], atol=1)


@pytest.mark.parametrize("method", ["wobble", "tdc-peeler", "circus-omp"])
def test_every_engine_finds_the_spikes(spiking, method):
    recording, peaks = spiking
    parameters = SortingParameters(matching_method=method)
    found = templates.estimate_templates(recording, peaks, np.zeros(len(peaks), int), parameters)
    cleaned = templates.clean(found, [len(peaks)], np.ones(4), parameters)
    spikes = templates.find_spikes(recording, cleaned, np.ones(4), parameters)
    nearest = np.abs(spikes["sample_index"][:, None] - peaks["sample_index"][None]).min(axis=0)
    assert (nearest <= 3).mean() > 0.95
    assert len(spikes) < 1.1 * len(peaks)


def test_noise_is_cleaned_away(spiking):
    recording, peaks = spiking
    elsewhere = peaks.copy()
    elsewhere["channel_index"] = 0
    found = templates.estimate_templates(recording, elsewhere, np.zeros(len(peaks), int), SortingParameters())
    assert len(templates.clean(found, [len(peaks)], np.ones(4), SortingParameters()).unit_ids) == 0


def test_channels_with_more_noise_than_signal_are_left_out(spiking):
    recording, peaks = spiking
    found = templates.estimate_templates(
        recording, peaks, np.zeros(len(peaks), int), SortingParameters(template_radius_um=150.0)
    )
    assert found.sparsity_mask[0].tolist() == [False, True, True, True]
    cleaned = templates.clean(found, [len(peaks)], np.ones(4), SortingParameters())
    assert cleaned.sparsity_mask[0].tolist() == [False, False, True, False]


def test_units_stay_on_their_shank(spiking):
    recording, _ = spiking
    shanked = recording.clone()
    shanked.set_property("group", np.array([0, 0, 1, 1]))
    mask = templates.same_shank(shanked, np.array([2, 2, 1]), np.array([0, 0, 0]), 1)
    np.testing.assert_array_equal(mask, [[False, False, True, True]])


def test_averages_are_the_same_to_the_last_digit_for_any_number_of_processes(spiking):
    recording, peaks = spiking
    spikes = templates.as_spike_vector(peaks["sample_index"], np.arange(len(peaks)) % 2)
    one, two = (
        templates.average_waveforms(recording, spikes, 2, 20, 40, dict(n_jobs=n, chunk_duration="0.2s")) for n in (1, 2)
    )
    np.testing.assert_array_equal(one, two)
