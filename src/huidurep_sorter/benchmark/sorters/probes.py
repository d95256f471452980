"""What all generated recordings share: probes, noise, and where units may be."""

import numpy as np
from probeinterface import generate_multi_columns_probe, generate_tetrode

SAMPLING_FREQUENCY = 30000.0


def columns_probe(n_channels, n_columns, x_um, y_um, shift_um=0.0):
    """Make a probe of columns, of which every other one is shifted.

    Its wiring is the order of its contacts, because the generators take contacts for channels.
    """
    probe = generate_multi_columns_probe(
        num_columns=n_columns,
        num_contact_per_column=[n_channels // n_columns] * n_columns,
        xpitch=x_um,
        ypitch=y_um,
        y_shift_per_column=[shift_um * (column % 2) for column in range(n_columns)],
        contact_shapes="square",
        contact_shape_params=dict(width=12),
    )
    probe.set_device_channel_indices(np.arange(n_channels))
    return probe


def tetrode_probe():
    """Make a probe of four contacts; the diagonal of their square is 25 um."""
    probe = generate_tetrode(r=12.5)
    probe.set_device_channel_indices(np.arange(4))
    return probe


def noise_covariance(probe, noise_uv=7.0, decay_um=25.0):
    """Compute the covariance of noise that near channels share, (n_channels, n_channels)."""
    positions = probe.contact_positions
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    return noise_uv**2 * np.exp(-distance / decay_um)


def locations(distance_um):
    """Say where units may be, relative to the probe."""
    return dict(margin_um=10.0, minimum_z=5.0, maximum_z=40.0, minimum_distance=distance_um, distance_strict=False)
