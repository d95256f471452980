"""The geometry of probes."""

import numpy as np
from probeinterface import ProbeGroup, generate_tetrode
from spikeinterface.core import NumpyRecording

from huidurep_sorter.traces.probe import channels_within, one_probe


def on_two_tetrodes():
    group = ProbeGroup()
    for k in range(2):
        probe = generate_tetrode()
        probe.move([30.0 * k, 0.0])
        group.add_probe(probe)
    group.set_global_device_channel_indices(np.array([4, 5, 6, 7, 0, 1, 2, 3]))
    recording = NumpyRecording([np.zeros((1000, 8), dtype="float32")], 30000.0)
    recording.set_probegroup(group, group_mode="by_probe", in_place=True)
    return recording


def test_several_probes_become_one_with_every_contact_in_its_place():
    recording = on_two_tetrodes()
    probe = one_probe(recording)
    np.testing.assert_array_equal(probe.device_channel_indices, np.arange(8))
    np.testing.assert_allclose(probe.contact_positions, recording.get_channel_locations())


def test_channels_of_two_shanks_are_never_within_a_radius():
    recording = on_two_tetrodes()
    near, group = channels_within(recording, 1000.0), recording.get_channel_groups()
    np.testing.assert_array_equal(near, group[:, None] == group)
