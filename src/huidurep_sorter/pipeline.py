"""The whole path, from a raw recording to units."""

import logging
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from huidurep_sorter.spikes import clustering, detection, features
from huidurep_sorter.spikes.spikes import drop
from huidurep_sorter.templates import agglomeration as merging
from huidurep_sorter.templates import estimation as templates
from huidurep_sorter.templates import refinement
from huidurep_sorter.traces import motion
from huidurep_sorter.traces.preprocessing import cache_folder, preprocess
from huidurep_sorter.units import curation
from huidurep_sorter.units import properties as unit_properties

logger = logging.getLogger("huidurep_sorter")

N_HALVINGS = 2  # of each cluster, before those of one template are merged


def sort_recording(recording, parameters, folder=None, verbose=False, job_kwargs=None):
    """Sort a recording.

    Parameters
    ----------
    recording : BaseRecording
        With a probe; several segments are sorted as one, end to end.
    parameters : SortingParameters
    folder : str or Path, optional
        Where preprocessed traces may be cached and intermediate arrays saved.
    verbose : bool, default: False
        Show progress bars.
    job_kwargs : dict, optional
        SpikeInterface's, e.g. ``dict(n_jobs=2)``; the result doesn't depend on `n_jobs`.

    Returns
    -------
    sorting : NumpySorting
        With unit properties; empty, with a warning, where no spike is found.
    """
    from spikeinterface.core import NumpySorting, concatenate_recordings, fix_job_kwargs, split_sorting

    parameters.check()
    folder = None if folder is None else Path(folder)
    job_kwargs = fix_job_kwargs(dict(job_kwargs or {}) | dict(progress_bar=verbose))
    if min(recording.get_num_samples(s) for s in range(recording.get_num_segments())) == 0:
        return empty_sorting(recording, "the recording is empty")
    lazy = prepare(recording, parameters)
    if recording.get_num_segments() == 1:
        return sort_segment(lazy, parameters, folder, verbose, job_kwargs)
    sorting = sort_segment(concatenate_recordings([lazy]), parameters, folder, verbose, job_kwargs)
    sorting = NumpySorting.from_sorting(split_sorting(sorting, [recording]), with_metadata=True)
    add_silent_segments(sorting, recording.get_num_segments())
    return sorting


def add_silent_segments(sorting, n_segments):
    """Complete a `NumpySorting`, which counts segments only up to that of its last spike."""
    from spikeinterface.core.numpyextractors import SpikeVectorSortingSegment

    spikes = sorting.to_spike_vector()
    for segment_index in range(sorting.get_num_segments(), n_segments):
        sorting.add_sorting_segment(SpikeVectorSortingSegment(spikes, segment_index, sorting.unit_ids))


def sort_segment(lazy, parameters, folder=None, verbose=False, job_kwargs=None):
    """Units of a recording of one segment in units of noise."""
    with cached(lazy, parameters, folder, job_kwargs) as prepared:
        noise_levels, peaks = detect(prepared, parameters, job_kwargs)
        with stage("motion"):
            moved = motion.find_motion(prepared, peaks, parameters, job_kwargs)
        if moved is None:
            return sort_peaks(prepared, noise_levels, peaks, parameters, folder, verbose, job_kwargs)
    del prepared  # so that traces are never in memory twice
    if folder is not None:
        moved.save(folder / "motion", overwrite=True)
    with cached(motion.interpolate(lazy, moved), parameters, folder, job_kwargs) as prepared:
        noise_levels, peaks = detect(prepared, parameters, job_kwargs)
        return sort_peaks(prepared, noise_levels, peaks, parameters, folder, verbose, job_kwargs)


def prepare(recording, parameters):
    """Traces in units of noise, lazily."""
    if not parameters.apply_preprocessing:
        return recording.astype("float32")
    return preprocess(
        recording,
        freq_min=parameters.freq_min,
        freq_max=parameters.freq_max,
        whitening_radius_um=parameters.whitening_radius_um,
        seed=parameters.seed,
    )


@contextmanager
def cached(recording, parameters, folder, job_kwargs):
    """The recording with its traces computed once, in memory or in the folder, while in use."""
    from spikeinterface.sortingcomponents.tools import cache_preprocessing, clean_cache_preprocessing

    mode = parameters.cache_preprocessing_mode
    folder = cache_folder(recording, mode, None if folder is None else folder / "cache_preprocessing")
    with stage("preprocess"):
        kept, cache_info = cache_preprocessing(recording, mode=mode, folder=folder, job_kwargs=job_kwargs)
    try:
        yield kept
    finally:
        del kept
        clean_cache_preprocessing(cache_info)


def detect(recording, parameters, job_kwargs):
    """Noise of each channel, (n_channels,), and all peaks."""
    with stage("detect"):
        noise_levels = detection.estimate_noise(recording, parameters.seed, job_kwargs)
        return noise_levels, detection.find_peaks(recording, noise_levels, parameters, job_kwargs)


def sort_peaks(recording, noise_levels, all_peaks, parameters, folder=None, verbose=False, job_kwargs=None):
    """Units of a recording in units of noise, from its peaks."""
    margin = templates.window_samples(recording, parameters)
    chosen = detection.choose_peaks(recording, all_peaks, parameters, margin)
    peaks = all_peaks[chosen]
    logger.info("%d peaks, %d of them to cluster", len(all_peaks), len(peaks))
    if len(peaks) == 0:
        return empty_sorting(recording, "no peak was found")
    with stage("represent"):
        embedding = features.represent_spikes(recording, peaks, parameters, job_kwargs, verbose)
    with stage("locate"):
        positions = features.locate_spikes(recording, peaks, job_kwargs)
    with stage("cluster"):
        labels, peak_shifts = group_spikes(recording, peaks, embedding, positions, parameters, job_kwargs)
        peaks["sample_index"] += peak_shifts
    saving = folder is not None and (parameters.save_array or parameters.debug)
    if saving:
        arrays = dict(peaks=peaks, features=embedding, positions=positions, labels=labels)
        save_arrays(folder, noise_levels=noise_levels, all_peaks=all_peaks, **arrays)
    with stage("templates"):
        found, peaks = make_templates(recording, peaks, labels, noise_levels, parameters, job_kwargs)
    with stage("refine"):
        if found is not None and len(found.unit_ids):
            found = refinement.refine_templates(recording, found, peaks, labels, noise_levels, parameters, job_kwargs)
    if found is None or len(found.unit_ids) == 0:
        return empty_sorting(recording, "no cluster of spikes has a template")
    if saving:
        save_arrays(folder, templates=found.get_dense_templates())
    with stage("match"):
        spikes = templates.find_spikes(recording, found, noise_levels, parameters, job_kwargs)
    if len(spikes) == 0:
        return empty_sorting(recording, "no spike matched a template")
    with stage("curate"):
        units = curation.curate(recording, spikes, parameters, job_kwargs)
        if len(units) == 0:
            return empty_sorting(recording, "no unit is left after curation")
        properties = unit_properties.measure(recording, units, noise_levels, peaks, embedding, job_kwargs)
        sure = curation.are_sure(properties, parameters.min_confidence)
        if not sure.any():
            return empty_sorting(recording, "no unit is distinct enough from others")
        units, properties = drop(units, ~sure), {name: value[sure] for name, value in properties.items()}
        return unit_properties.as_sorting(units, properties, recording.sampling_frequency)


def group_spikes(recording, peaks, embedding, positions, parameters, job_kwargs):
    """Labels of peaks, -1 for none, and the samples to move each by, both (n_peaks,): split readily, then merge."""
    size, seed = parameters.min_cluster_size, parameters.seed
    labels = clustering.cluster_spikes(
        embedding, positions, peaks, method=parameters.clustering_method, min_cluster_size=size, seed=seed
    )
    for _ in range(N_HALVINGS):
        labels = clustering.halve(labels, embedding, positions, size, seed)
    return merging.merge_clusters(recording, peaks, labels, parameters.merge_max_difference, job_kwargs)


def make_templates(recording, peaks, labels, noise_levels, parameters, job_kwargs):
    """Clean templates, None where no peak has a label, and the peaks, aligned to them."""
    found = templates.estimate_templates(recording, peaks, labels, parameters, job_kwargs)
    if found is None:
        return None, peaks
    peaks = peaks.copy()
    peaks["sample_index"] = templates.align(peaks, labels, found)
    found = templates.estimate_templates(recording, peaks, labels, parameters, job_kwargs)
    return templates.clean(found, templates.count_peaks(found, labels), noise_levels, parameters), peaks


@contextmanager
def stage(name):
    """Log how long a stage took.

    Linear algebra keeps to one thread, as it does in SpikeInterface's worker processes: sums in another order would
    move a spike by a sample now and then, and the result would depend on `n_jobs`. The encoder too: its operations are
    small, and on a machine with other work to do its threads would wait for one another (ten times slower).
    """
    from threadpoolctl import threadpool_limits

    start = time.perf_counter()
    with threadpool_limits(limits=1):
        yield
    logger.info("%s: %.1f s", name, time.perf_counter() - start)


def save_arrays(folder, **arrays):
    """Save intermediate results, each as `<folder>/<name>.npy`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def empty_sorting(recording, why):
    """A sorting without units, and a warning that says why."""
    from spikeinterface.core import NumpySorting

    logger.warning("the sorting is empty: %s", why)
    warnings.warn(f"the sorting is empty: {why}", stacklevel=2)  # beside the log, for callers that listen
    n_segments = recording.get_num_segments()
    return NumpySorting.from_unit_dict([{} for _ in range(n_segments)], recording.sampling_frequency)
