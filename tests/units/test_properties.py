"""What is said of each unit, on spikes of known origin."""

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording

from huidurep_sorter.spikes.spikes import make_units
from huidurep_sorter.units import properties as unit_properties


@pytest.fixture
def spikes():
    """Two units in turn on one channel; features tell the first from all others, the second's are anything."""
    rng = np.random.default_rng(0)
    times = np.arange(200) * 1000 + 500
    labels = np.arange(200) % 2
    traces = 0.1 * rng.normal(size=(201_000, 4)).astype("float32")
    traces[times, 1] -= 10.0
    recording = NumpyRecording([traces], 30000.0)
    recording.set_dummy_probe_from_locations(np.array([[0.0, 20.0 * i] for i in range(4)]))
    others = np.arange(200) * 1000 + 800  # of no unit
    peaks = np.zeros(400, dtype=[("sample_index", "i8"), ("channel_index", "i8"), ("segment_index", "i8")])
    peaks["sample_index"], peaks["channel_index"] = np.concatenate([times, others]), 1
    features = rng.normal(size=(400, 8))
    features[:200][labels == 0] = [5.0] * 8 + 0.1 * rng.normal(size=(100, 8))
    units = make_units(times, labels)
    return recording, units, peaks, features.astype("float32")


def test_confidence_is_the_share_of_own_neighbours(spikes):
    recording, units, peaks, features = spikes
    sure, unsure = unit_properties.confidences(units, np.array([1, 1]), peaks, features, recording)
    assert sure == 1.0
    assert unsure == pytest.approx(1 / 3, abs=0.1)  # 100 of its own among 300


def test_confidence_is_the_same_where_spikes_lie_beside_their_peaks(spikes):
    recording, units, peaks, features = spikes
    late = make_units(units.sample_index + 12, units.label)
    found, expected = (
        unit_properties.confidences(u, np.array([1, 1]), peaks, features, recording) for u in (late, units)
    )
    np.testing.assert_array_equal(found, expected)


def test_properties_are_those_of_the_spikes(spikes):
    recording, units, peaks, features = spikes
    noise_levels = np.full(4, 0.1)
    found = unit_properties.measure(recording, units, noise_levels, peaks, features)
    np.testing.assert_array_equal(found["n_spikes"], [100, 100])
    np.testing.assert_array_equal(found["main_channel_id"], recording.channel_ids[[1, 1]])
    np.testing.assert_allclose(found["snr"], 100, rtol=0.05)
    np.testing.assert_allclose(found["template_norm"], 10, rtol=0.05)
    np.testing.assert_allclose(found["y"], 20, atol=1)
    np.testing.assert_allclose(found["firing_rate"], 100 / 6.7, rtol=0.01)
    sorting = unit_properties.as_sorting(units, found, 30000.0)
    np.testing.assert_array_equal(sorting.get_property("confidence"), found["confidence"])
    np.testing.assert_array_equal(sorting.get_unit_spike_train(0), units.sample_index[units.label == 0])
