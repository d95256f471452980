"""Templates of spikes of known units, and their cleaning."""

import numpy as np
import pytest

from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.runtime import NothingFound
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates import estimation
from tests.known import noise_with_spikes

PARAMETERS = SortingParameters()


@pytest.fixture(scope="module")
def spiking():
    """Traces, and one cluster of spikes on channel 2."""
    traces, times = noise_with_spikes()
    return traces, Spikes.at(times, 2, 0)


def test_the_template_is_the_mean_spike_on_near_channels(spiking):
    found = estimation.estimate_templates(*spiking, PARAMETERS)
    dense = found.get_dense_templates()[0]
    assert dense[found.nbefore, 2] == pytest.approx(-15, abs=0.5)
    assert np.abs(dense[:, 0]).max() == 0  # 200 um away


def test_spikes_without_a_label_make_no_template(spiking):
    traces, spikes = spiking
    with pytest.raises(NothingFound, match="template"):
        estimation.estimate_templates(traces, spikes.relabelled(np.full(len(spikes), -1)), PARAMETERS)


def test_late_spikes_are_aligned_and_the_move_is_remembered(spiking):
    traces, spikes = spiking
    late = Spikes.at(spikes.sample_index + 7, 2, 3)
    aligned = estimation.align(late, estimation.estimate_templates(traces, late, PARAMETERS))
    np.testing.assert_allclose(aligned.sample_index, spikes.sample_index, atol=1)
    np.testing.assert_array_equal(aligned.sample_index - aligned.shift, late.sample_index)


def test_making_templates_aligns_and_cleans(spiking):
    traces, spikes = spiking
    late = Spikes.at(spikes.sample_index + 7, 2, 0)
    templates, clusters = estimation.make_templates(traces, late, PARAMETERS)
    dense = templates.get_dense_templates()[0]
    assert np.abs(dense).max(axis=1).argmax() == templates.nbefore
    assert np.abs(clusters.sample_index - spikes.sample_index).max() <= 1


def test_noise_is_cleaned_away(spiking):
    traces, spikes = spiking
    found = estimation.estimate_templates(traces, Spikes.at(spikes.sample_index, 0, 0), PARAMETERS)
    with pytest.raises(NothingFound, match="template"):
        estimation.clean(traces, found, [len(spikes)], PARAMETERS)


def test_channels_with_more_noise_than_signal_are_left_out(spiking):
    traces, spikes = spiking
    found = estimation.estimate_templates(traces, spikes, SortingParameters(template_radius_um=150.0))
    assert found.sparsity_mask[0].tolist() == [False, True, True, True]
    cleaned = estimation.clean(traces, found, [len(spikes)], PARAMETERS)
    assert cleaned.sparsity_mask[0].tolist() == [False, False, True, False]


def test_units_stay_on_their_shank():
    traces, times = noise_with_spikes()
    traces.recording.set_channel_groups([0, 0, 1, 1])
    channels = np.where(np.arange(len(times)) % 3 == 0, 1, 2)
    found = estimation.estimate_templates(
        traces, Spikes.at(times, channels, 0), SortingParameters(template_radius_um=150.0)
    )
    assert found.sparsity_mask[0].tolist() == [False, False, True, True]


def test_a_unit_that_peaks_on_distant_channels_has_that_of_most_spikes():
    traces, times = noise_with_spikes()
    channels = np.where(np.arange(len(times)) % 3 == 0, 0, 2)  # no contact is near the mean of theirs
    found = estimation.estimate_templates(
        traces, Spikes.at(times, channels, 0), SortingParameters(template_radius_um=20.0)
    )
    assert found.sparsity_mask[0].tolist() == [False, False, True, False]


@pytest.mark.parametrize(("size", "n_spikes", "clear"), [(15.0, 20, True), (10.0, 6, False), (60.0, 6, True)])
def test_few_spikes_make_a_template_only_if_they_are_large(size, n_spikes, clear):
    traces, times = noise_with_spikes(n_spikes, size)
    found = estimation.estimate_templates(traces, Spikes.at(times, 2, 0), PARAMETERS)
    assert estimation.are_clear(traces, found, np.array([n_spikes]), PARAMETERS).tolist() == [clear]
