"""Generate recordings with ground truth. SpikeInterface's generators make the same ones anywhere."""

import shutil
from pathlib import Path

from spikeinterface.core import generate_ground_truth_recording
from spikeinterface.generation import generate_drifting_recording

from huidurep_sorter.benchmark.sorters.close_units import CLOSE
from huidurep_sorter.benchmark.sorters.probes import (
    SAMPLING_FREQUENCY,
    columns_probe,
    locations,
    noise_covariance,
    tetrode_probe,
)

SUITES = {  # seconds; channels and units of a probe, of the tetrode and of the dense recording
    "quick": dict(duration_s=40.0, n_channels=16, n_units=8, tetrode_units=4, dense_units=16),
    "full": dict(duration_s=180.0, n_channels=64, n_units=30, tetrode_units=6, dense_units=60),
    "close": dict(duration_s=120.0, n_channels=32, n_units=24, tetrode_units=7, eight_sites_units=14),
}


def make_suite(folder, suite="quick", seeds=(0,), names=None):
    """Generate the recordings of a suite that aren't in a folder yet.

    Parameters
    ----------
    folder : str or Path
        Gets `SUITE_NAME_seedS/recording` and `.../sorting`. A folder is there only once it is complete.
    suite : "quick" | "full" | "close", default: "quick"
        "close" has recordings of its own: neighbours of like shape, and bursts in which spikes change.
    seeds : sequence of int, default: (0,)
        Each seed gives other units, spikes and noise.
    names : sequence of str, optional
        Of the recordings; default: all of the suite.

    Returns
    -------
    folders : list of Path

    Raises
    ------
    ValueError
        If there is no such suite or recording.
    """
    if suite not in SUITES:
        raise ValueError(f"no suite {suite!r}; the suites are {list(SUITES)}")
    recordings = CLOSE if suite == "close" else RECORDINGS
    unknown = sorted(set(names or ()) - set(recordings))
    if unknown:
        raise ValueError(f"no recording {unknown[0]!r}; the recordings of {suite} are {list(recordings)}")
    folders = []
    for seed in seeds:
        for name in names or recordings:
            folders.append(Path(folder) / f"{suite}_{name}_seed{seed}")
            if not folders[-1].exists():
                position = list(recordings).index(name)
                save_pair(folders[-1], *recordings[name](SUITES[suite], 1000 * position + seed))
    return folders


def save_pair(folder, recording, sorting):
    """Save `folder/recording` and `folder/sorting` such that `folder` exists only once both are complete."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    quiet = dict(n_jobs=1, progress_bar=False, verbose=False)
    recording.save(folder=partial / "recording", chunk_duration="5s", **quiet)
    sorting.save(folder=partial / "sorting")
    partial.replace(folder)


def generate(probe, n_units, duration_s, seed, alpha=(80.0, 400.0), rates_hz=(1.0, 12.0), distance_um=15.0):
    """Generate a recording without drift, and its units of amplitudes `alpha` and firing rates `rates_hz`."""
    return generate_ground_truth_recording(
        durations=[duration_s],
        sampling_frequency=SAMPLING_FREQUENCY,
        num_channels=probe.get_contact_count(),
        num_units=n_units,
        probe=probe,
        generate_sorting_kwargs=dict(firing_rates=rates_hz, refractory_period_ms=3.0),
        noise_kwargs=dict(cov_matrix=noise_covariance(probe), strategy="on_the_fly"),
        generate_unit_locations_kwargs=locations(distance_um),
        generate_templates_kwargs=dict(unit_params=dict(alpha=alpha)),
        seed=seed,
    )


def tetrode(size, seed):
    """Generate close units on four contacts."""
    return generate(tetrode_probe(), size["tetrode_units"], size["duration_s"], seed, distance_um=8.0)


def linear(size, seed):
    """Generate units on one column of contacts, 25 um apart."""
    n_channels = size["n_channels"] // 2
    probe = columns_probe(n_channels, 1, 1.0, 25.0)
    return generate(probe, size["n_units"] // 2, size["duration_s"], seed)


def neuropixels_static(size, seed):
    """Generate units on two columns of contacts as on Neuropixels 2.0."""
    return generate(columns_probe(size["n_channels"], 2, 32.0, 15.0), size["n_units"], size["duration_s"], seed)


def neuropixels_drifting(size, seed):
    """Generate units on the same probe, moving up and down by 20 um, twice."""
    duration_s = size["duration_s"]
    zigzag = dict(
        drift_mode="zigzag",
        non_rigid_gradient=None,
        t_start_drift=duration_s / 6,
        t_end_drift=None,
        period_s=duration_s / 2,
    )
    _, drifting, sorting = generate_drifting_recording(
        num_units=size["n_units"],
        duration=duration_s,
        sampling_frequency=SAMPLING_FREQUENCY,
        probe=columns_probe(size["n_channels"], 2, 32.0, 15.0),
        generate_unit_locations_kwargs=locations(15.0),
        generate_displacement_vector_kwargs=dict(
            displacement_sampling_frequency=5.0,
            drift_start_um=[0, 10],
            drift_stop_um=[0, -10],
            drift_step_um=1,
            motion_list=[zigzag],
        ),
        generate_sorting_kwargs=dict(firing_rates=(1.0, 12.0), refractory_period_ms=3.0),
        seed=seed,
    )
    return drifting, sorting


def low_snr(size, seed):
    """Generate small units on four staggered columns as on Neuropixels 1.0."""
    probe = columns_probe(size["n_channels"], 4, 16.0, 40.0, 20.0)
    return generate(probe, size["n_units"], size["duration_s"], seed, alpha=(60.0, 180.0))


def dense(size, seed):
    """Generate twice the units on two columns, which fire faster, so that spikes collide."""
    probe = columns_probe(size["n_channels"], 2, 32.0, 15.0)
    return generate(probe, size["dense_units"], size["duration_s"], seed, rates_hz=(4.0, 25.0), distance_um=10.0)


RECORDINGS = {
    function.__name__: function
    for function in (tetrode, linear, neuropixels_static, neuropixels_drifting, low_snr, dense)
}
