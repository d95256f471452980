"""Recordings that are hard to sort: neighbours of like shape, and bursts in which spikes change size and shape.

The spikes of a burst are smaller and slower, and not equally so on all contacts. Templates, noise and injection are
SpikeInterface's: the forms of a changing spike take the place of its sub-sample shifts.
"""

import numpy as np
from probeinterface import generate_multi_columns_probe
from spikeinterface.core import NumpySorting, generate_ground_truth_recording, generate_sorting
from spikeinterface.core.generate import default_unit_params_range, generate_templates, generate_unit_locations

from huidurep_sorter.benchmark.sorters.probes import (
    SAMPLING_FREQUENCY,
    columns_probe,
    locations,
    noise_covariance,
    tetrode_probe,
)
from huidurep_sorter.training.simulated_trains import fire_bursts

CLOSE_UM = (5.0, 20.0)  # um from a unit to the one that it is like
LIKENESS = 0.1  # standard deviation of the logarithm by which the shapes of two such units differ
SHARE_OF_NEIGHBOURS = 0.5  # of the units
SHARE_OF_BURSTING = 0.6  # of the units
N_FORMS = 4  # of a spike that changes, from that of a lone spike to the last of a long burst
SIZE = (0.45, 0.85)  # of a spike that has changed as much as it can, over a lone one
SLOWING = (1.1, 1.6)  # of its course
WIDENING = (0.7, 1.3)  # of its extent in space
ALPHA = (100.0, 450.0)  # SpikeInterface's amplitude of a unit
RATES_HZ = (1.0, 8.0)


def tetrode(size, seed):
    """Generate close and bursting units on four contacts."""
    return generate_close(tetrode_probe(), size["tetrode_units"], size["duration_s"], seed)


def eight_sites(size, seed):
    """Generate close and bursting units on eight contacts in two columns."""
    probe = generate_multi_columns_probe(2, [4, 4], xpitch=20.0, ypitch=20.0)
    probe.set_device_channel_indices(np.arange(8))
    return generate_close(probe, size["eight_sites_units"], size["duration_s"], seed)


def two_columns(size, seed):
    """Generate close and bursting units on two columns of contacts as on Neuropixels 2.0."""
    return generate_close(columns_probe(size["n_channels"], 2, 32.0, 15.0), size["n_units"], size["duration_s"], seed)


def generate_close(probe, n_units, duration_s, seed):
    """Generate a recording, and its units, some close to another and like it, some of changing spikes."""
    rng = np.random.default_rng(seed)
    where = generate_unit_locations(n_units, probe.contact_positions, seed=seed, **locations(15.0))
    ranges = default_unit_params_range | dict(alpha=ALPHA)
    shapes = {name: rng.uniform(*limits, n_units) for name, limits in ranges.items()}
    for unit in np.flatnonzero(rng.random(n_units) < SHARE_OF_NEIGHBOURS):
        other, angle = rng.integers(max(unit, 1)), rng.uniform(0, 2 * np.pi)
        where[unit, :2] = where[other, :2] + rng.uniform(*CLOSE_UM) * np.array([np.cos(angle), np.sin(angle)])
        for name in shapes:
            shapes[name][unit] = shapes[name][other] * np.exp(rng.normal(0, LIKENESS))
    sorting, form = fire(n_units, duration_s, seed, rng)
    return generate_ground_truth_recording(
        durations=[duration_s],
        sampling_frequency=SAMPLING_FREQUENCY,
        sorting=sorting,
        probe=probe,
        templates=make_forms(probe, where, shapes, seed, rng),
        upsample_vector=form,
        ms_before=1.0,
        ms_after=3.0,
        noise_kwargs=dict(cov_matrix=noise_covariance(probe), strategy="on_the_fly"),
        seed=seed,
    )


def make_forms(probe, where, shapes, seed, rng):
    """Make the forms of each unit's spikes, (n_units, n_samples, n_channels, N_FORMS) float32."""
    n_units = len(where)
    slowing = rng.uniform(*SLOWING, n_units)
    factors = dict(
        alpha=rng.uniform(*SIZE, n_units),
        depolarization_ms=slowing,
        repolarization_ms=slowing,
        spatial_decay=rng.uniform(*WIDENING, n_units),
    )
    changed = {name: values * factors.get(name, 1.0) for name, values in shapes.items()}
    first, last = (
        generate_templates(probe.contact_positions, where, SAMPLING_FREQUENCY, 1.0, 3.0, seed=seed, unit_params=params)
        for params in (shapes, changed)
    )
    share = np.linspace(0, 1, N_FORMS, dtype="float32")
    return (1 - share) * first[..., None] + share * last[..., None]


def fire(n_units, duration_s, seed, rng):
    """Draw when units fire, and in which form.

    Returns
    -------
    sorting : NumpySorting
    form : (n_spikes,) int64
        0 to N_FORMS - 1, in the order of the sorting's spike vector.
    """
    steady = generate_sorting(
        n_units, SAMPLING_FREQUENCY, [duration_s], firing_rates=RATES_HZ, refractory_period_ms=3.0, seed=seed
    ).to_spike_vector()
    trains, forms = [], []
    for unit in range(n_units):
        own, change = steady[steady["unit_index"] == unit], 0.0
        if rng.random() < SHARE_OF_BURSTING:
            own, change = fire_bursts(own, SAMPLING_FREQUENCY, rng)
        trains.append(own)
        forms.append(np.broadcast_to(np.round(change * np.float64(N_FORMS - 1)).astype("int64"), len(own)))
    spikes, form = np.concatenate(trains), np.concatenate(forms)
    order = np.lexsort((spikes["unit_index"], spikes["sample_index"]))
    return NumpySorting(spikes[order], SAMPLING_FREQUENCY, np.arange(n_units)), form[order]


CLOSE = {function.__name__: function for function in (tetrode, eight_sites, two_columns)}
