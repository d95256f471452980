"""Correction of motion: as SpikeInterface's, from the contacts near each."""

import numpy as np
import pytest
from probeinterface import generate_multi_columns_probe, generate_multi_shank
from spikeinterface.core import NumpyRecording
from spikeinterface.core.motion import Motion
from spikeinterface.sortingcomponents.motion import InterpolateMotionRecording

from huidurep_sorter.traces.interpolation import MotionCorrectedRecording


def noise_on(probe, duration_s=4.0, t_start=0.0):
    n = probe.get_contact_count()
    probe.set_device_channel_indices(np.random.default_rng(1).permutation(n))
    traces = np.random.default_rng(0).normal(size=(int(1000 * duration_s), n)).astype("float32")
    recording = NumpyRecording([traces], 1000.0, t_starts=[t_start])
    recording.set_probe(probe)
    return recording


@pytest.mark.parametrize("t_start", [0.0, 100.25])
def test_traces_are_those_of_spikeinterface(t_start):
    """But in the first and the last bin, for which it takes the motion a quarter of a bin from their middle."""
    recording = noise_on(generate_multi_columns_probe(2, 40, xpitch=32, ypitch=15), t_start=t_start)
    times = t_start + np.arange(4) + 0.5
    moved = Motion([np.array([[0.0, 5.0], [3.0, -9.0], [20.0, 1.0], [-20.0, 4.0]])], [times], np.array([100.0, 500.0]))
    options = dict(border_mode="force_extrapolate", spatial_interpolation_method="kriging", sigma_um=20.0, p=2)
    expected = InterpolateMotionRecording(recording, moved, **options).get_traces()
    corrected = MotionCorrectedRecording(recording, moved)
    difference = (corrected.get_traces() - expected)[1000:3000]
    assert np.abs(difference).max() < 0.02 and np.std(difference) < 0.003
    part = corrected.get_traces(start_frame=900, end_frame=2100, channel_ids=corrected.channel_ids[[5, 3]])
    assert part == pytest.approx(corrected.get_traces()[900:2100, [5, 3]], abs=1e-5)


def test_motion_is_interpolated_between_long_bins():
    """Where motion was measured each 4 s, the seconds between them are not those of the nearest bin."""
    recording = noise_on(generate_multi_columns_probe(1, 30, ypitch=20), duration_s=8.0)
    moved = Motion([np.array([[0.0], [40.0]])], [np.array([2.0, 6.0])], np.array([300.0]))
    segment = MotionCorrectedRecording(recording, moved).segments[0]
    assert segment.weights_at(4.0).argmax(axis=0)[10] != segment.weights_at(2.0).argmax(axis=0)[10]
    assert np.array_equal(segment.weights_at(1.0), segment.weights_at(2.0))


def test_correction_keeps_shanks_apart():
    probe = generate_multi_shank(num_shank=2, shank_pitch=[250, 0], num_columns=1, num_contact_per_column=24, ypitch=15)
    probe.set_device_channel_indices(np.arange(48))
    traces = np.zeros((3000, 48), dtype="float32")
    traces[:, :24] = np.random.default_rng(0).normal(size=(3000, 24))  # the second shank is silent
    recording = NumpyRecording([traces], 1000.0)
    recording.set_probe(probe)
    moved = Motion([np.full((3, 1), 10.0)], [np.array([0.5, 1.5, 2.5])], np.array([170.0]))
    corrected = MotionCorrectedRecording(recording, moved).get_traces()
    assert np.abs(corrected[:, :24] - traces[:, :24]).max() > 0.5
    assert np.abs(corrected[:, 24:]).max() < 0.01
