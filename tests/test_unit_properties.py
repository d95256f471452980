"""What is said of each unit, on spikes of known origin."""

import numpy as np
import pytest
from spikeinterface.core import NumpyRecording, generate_recording

from huidurep_sorter import curation, unit_properties


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
    units = curation.make_units(times, np.zeros(200, dtype="int64"), labels)
    return recording, units, peaks, features.astype("float32")


def test_confidence_is_the_share_of_own_neighbours(spikes):
    recording, units, peaks, features = spikes
    sure, unsure = unit_properties.confidences(units, np.array([1, 1]), peaks, features, recording)
    assert sure == 1.0
    assert unsure == pytest.approx(1 / 3, abs=0.1)  # 100 of its own among 300


def test_only_the_sure_unit_stays(spikes):
    recording, units, peaks, features = spikes
    assert len(unit_properties.drop_unsure(recording, units, peaks, features, 0.0)) == 200
    kept = unit_properties.drop_unsure(recording, units, peaks, features, 0.55)
    np.testing.assert_array_equal(kept.sample_index, units.sample_index[units.label == 0])
    assert len(unit_properties.drop_unsure(recording, kept, peaks, features, 1.01)) == 0


def test_dropping_from_nothing_leaves_nothing():
    recording = generate_recording(num_channels=4, durations=[1.0])
    nothing = curation.make_units(*(np.zeros(0, dtype="int64") for _ in range(3)))
    assert len(unit_properties.drop_unsure(recording, nothing, None, None, 0.5)) == 0
