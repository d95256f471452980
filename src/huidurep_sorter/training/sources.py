"""Where the spikes to train on come from: simulated from footprints, or a folder of recordings."""

import logging
from pathlib import Path

import numpy as np
from spikeinterface.core import load
from tqdm.auto import tqdm, trange

from huidurep_sorter.training.footprints import read_footprints
from huidurep_sorter.training.simulation import SimulationConfig, simulate
from huidurep_sorter.training.spike_sets import SpikeSet, spikes_of_recording, spikes_of_simulation

logger = logging.getLogger(__name__)

COMMON_SAMPLING_FREQUENCY = 30000.0  # Hz; that of most recordings, and of the shipped encoders
COMMON_SHARE = 5 / 6  # of the recordings, at that frequency; the others show what resampling does to a spike
SAMPLING_FREQUENCIES = (15000.0, 20000.0, 25000.0, 32000.0, 40000.0)  # Hz, of the others
SEEDS_PER_RUN = 10_000  # so that no recording of one run shares its choice of spikes with one of the next seed


def prepare_simulated(folder, footprint_files, simulation: SimulationConfig, window, n_channels, seed, verbose=False):
    """Simulate recordings and keep their spikes in `folder`, one subfolder each; what is there already is kept.

    Parameters
    ----------
    folder : Path
    footprint_files : dict of str to int
        Files for `read_footprints`, and how many times the footprints of each count in the draw.
    simulation : SimulationConfig
    window : Window
        Of the encoder's snippets.
    n_channels : int
        Of the encoder's snippets.
    seed : int
    verbose : bool
        Show a progress bar.

    Returns
    -------
    spike_sets : list of SpikeSet
        One of each recording.
    """
    footprints = [f for path, times in footprint_files.items() for f in read_footprints(path) * times]
    folders = [Path(folder) / f"simulated-{seed}-{i}" for i in range(simulation.n_recordings)]
    for i in trange(len(folders), desc="simulate", disable=not verbose):
        if folders[i].exists():
            continue
        rng = np.random.default_rng([seed, i])
        is_common = rng.random() < COMMON_SHARE
        sampling_frequency = COMMON_SAMPLING_FREQUENCY if is_common else rng.choice(SAMPLING_FREQUENCIES)
        simulated = simulate(footprints, simulation, [seed, i], float(sampling_frequency))
        spikes_of_simulation(simulated, window, n_channels, seed=seed * SEEDS_PER_RUN + i).save(folders[i])
    return [SpikeSet.load(f) for f in folders]


def open_recordings(folder):
    """Open every recording in a folder, as SpikeInterface saves it.

    A recording lies in `NAME/recording`, or in `NAME` itself.

    Returns
    -------
    recordings : dict of str to BaseRecording
        With the path of `NAME/sorting`, where there is one, as the annotation "sorting".

    Raises
    ------
    ValueError
        If the folder holds no recording.
    """
    paths = find_recordings(folder)
    if not paths:
        raise ValueError(f"{folder} holds no recording")
    recordings = {}
    for path in paths:
        recordings[path.stem] = load(path / "recording" if (path / "recording").exists() else path)
        if (path / "sorting").exists():
            recordings[path.stem].annotate(sorting=str(path / "sorting"))
    return recordings


def find_recordings(folder):
    """Find the folders, or `.zarr`, in a folder, each of which may be a recording or hold one."""
    return sorted(p for p in Path(folder).iterdir() if p.is_dir() or p.suffix == ".zarr")


def prepare_recordings(folder, recordings, window, n_channels, seed, use_sorting=False, verbose=False):
    """Detect or look up the spikes of each recording and keep them.

    Parameters
    ----------
    folder : Path
        Keeps the spikes, one subfolder for each recording; what is there already is kept.
    recordings : dict of str to BaseRecording
        As `open_recordings` gives them.
    window : Window
        Of the encoder's snippets.
    n_channels : int
        Of the encoder's snippets.
    seed : int
    use_sorting : bool
        Trust the sortings' units as neurons.
    verbose : bool
        Show a progress bar.

    Returns
    -------
    spike_sets : list of SpikeSet
        One of each recording that has spikes.
    """
    out = []
    for name, recording in tqdm(recordings.items(), desc="read recordings", disable=not verbose):
        spikes_folder = Path(folder) / f"{name}-{seed}"
        if not spikes_folder.exists():
            path = recording.get_annotation("sorting")
            sorting = load(path) if use_sorting and path else None
            spikes = spikes_of_recording(recording, window, n_channels, seed, sorting, verbose=verbose)
            if len(spikes.unit) == 0:
                logger.warning("%s holds no spike: left out", name)
                continue
            spikes.save(spikes_folder)
        out.append(SpikeSet.load(spikes_folder))
    return out
