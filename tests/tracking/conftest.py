"""Three sessions of the same neurons: new noise and spikes, a probe that was displaced, some neurons gone."""

import numpy as np
import pytest
from probeinterface import generate_multi_columns_probe
from spikeinterface.core import NumpySorting, create_sorting_analyzer
from spikeinterface.generation import (
    InjectTemplatesRecording,
    NoiseGeneratorRecording,
    generate_sorting,
    generate_templates,
)

SHIFTS_UM = (0.0, 12.0, -8.0)  # of the tissue along the probe
SEEN = ([0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3, 4, 5, 8], [0, 1, 2, 3, 9, 6, 7])  # neurons of each session
N_NEURONS = 10
FS = 30000.0


def make_sessions(n_sessions=3, duration_s=8.0, shifts_um=SHIFTS_UM, n_channels=32):
    """Make sessions, each (recording, sorting) whose unit ids are the neurons with a letter of the session."""
    probe = generate_multi_columns_probe(
        num_columns=2, num_contact_per_column=[n_channels // 2] * 2, xpitch=32, ypitch=15
    )
    probe.set_device_channel_indices(np.arange(n_channels))
    contacts, rng = probe.contact_positions, np.random.default_rng(0)
    high = contacts[:, 1].max()
    places = np.column_stack(
        [rng.uniform(0, 32, N_NEURONS), np.linspace(15, high - 15, N_NEURONS), np.full(N_NEURONS, 15)]
    )
    out = []
    for session in range(n_sessions):
        moved = places + [0.0, shifts_um[session], 0.0]
        templates = generate_templates(contacts, moved, FS, 1.0, 3.0, seed=3) * 0.8
        seen = SEEN[session]
        sorting = generate_sorting(
            num_units=len(seen), sampling_frequency=FS, durations=[duration_s], firing_rates=4.0, seed=session
        )
        noise = NoiseGeneratorRecording(
            num_channels=n_channels, sampling_frequency=FS, durations=[duration_s], noise_levels=8.0, seed=session
        )
        recording = InjectTemplatesRecording(sorting, templates[seen], nbefore=30, parent_recording=noise)
        recording.set_probe(probe)
        trains = {
            f"{'abc'[session]}{neuron}": sorting.get_unit_spike_train(unit)
            for neuron, unit in zip(seen, sorting.unit_ids, strict=True)
        }
        out.append((recording.save(format="memory"), NumpySorting.from_unit_dict(trains, FS)))
    return out


def as_analyzer(recording, sorting, **options):
    """Make an analyzer in which nothing is computed."""
    return create_sorting_analyzer(sorting, recording, sparse=False, **options)


@pytest.fixture(scope="session")
def sessions():
    """Three sessions, each (recording, sorting)."""
    return make_sessions()


@pytest.fixture(scope="session")
def tracked(sessions):
    """What is found in them."""
    from huidurep_sorter import track_units

    return track_units(
        {"mon": as_analyzer(*sessions[0]), "tue": as_analyzer(*sessions[1]), "wed": as_analyzer(*sessions[2])}
    )
