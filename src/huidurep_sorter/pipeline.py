"""The story: traces -> spikes -> templates -> units."""

import logging
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from spikeinterface.core import NumpySorting, fix_job_kwargs, split_sorting
from spikeinterface.core.base import base_period_dtype
from spikeinterface.core.numpyextractors import SpikeVectorSortingSegment

from huidurep_sorter.parameters import CHUNK_NAMES
from huidurep_sorter.report.findings import collect, draw
from huidurep_sorter.runtime import NothingFound, stage
from huidurep_sorter.spikes.clustering import find_clusters
from huidurep_sorter.spikes.detection import detect_peaks, select_peaks
from huidurep_sorter.spikes.features import extract_features, locate_spikes
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates.agglomeration import merge_clusters
from huidurep_sorter.templates.collisions import without_collisions
from huidurep_sorter.templates.estimation import make_templates
from huidurep_sorter.templates.matching import match_templates
from huidurep_sorter.templates.refinement import refine_templates
from huidurep_sorter.templates.waveforms import average_waveforms, window_samples
from huidurep_sorter.traces.checks import prepare_recording
from huidurep_sorter.traces.interpolation import MotionCorrectedRecording
from huidurep_sorter.traces.motion import find_motion
from huidurep_sorter.traces.periods import merge_periods, of_segments
from huidurep_sorter.traces.preprocessing import keep_learned, open_traces, prepare
from huidurep_sorter.units.acceptance import judge, keep_neurons
from huidurep_sorter.units.curation import curate
from huidurep_sorter.units.discarded import as_table
from huidurep_sorter.units.properties import measure, no_properties

logger = logging.getLogger(__name__)

CHUNK_DURATION = "1s"  # SpikeInterface's default; 46 MB of 384 channels


def sort_recording(recording, parameters, folder=None, verbose=False, job_kwargs=None) -> NumpySorting:
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
        SpikeInterface's, e.g. ``dict(n_jobs=2)``; no spike depends on them.

    Returns
    -------
    sorting : NumpySorting
        With unit properties; empty, with a warning, where no spike is found.
    """
    parameters.check()
    folder = None if folder is None else Path(folder)
    job_kwargs = with_own_chunks(fix_job_kwargs(dict(job_kwargs or {}) | dict(progress_bar=verbose)))
    try:
        with stage("prepare"):
            prepared, set_aside = prepare(prepare_recording(recording), parameters, job_kwargs)
        if folder is not None:
            save_set_aside(folder, recording, set_aside)
        sorting = sort_segment(prepared, set_aside, parameters, folder, job_kwargs)
    except NothingFound as reason:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            np.save(folder / "spike_probabilities.npy", np.zeros(0))
        return empty_sorting(recording, reason)
    return in_segments_of(recording, sorting)


def in_segments_of(recording, sorting) -> NumpySorting:
    """Give the segments of a recording to a sorting that has them end to end."""
    n_segments = recording.get_num_segments()
    if n_segments == 1:
        return sorting
    sorting = NumpySorting.from_sorting(split_sorting(sorting, [recording]), with_metadata=True)
    return add_silent_segments(sorting, n_segments)


def with_own_chunks(job_kwargs):
    """Read traces in pieces of `CHUNK_DURATION` whatever a user says: peaks and matches at their ends depend on it."""
    kept = {name: value for name, value in job_kwargs.items() if name not in CHUNK_NAMES}
    return kept | dict(chunk_duration=CHUNK_DURATION)


def sort_segment(recording, set_aside, parameters, folder=None, job_kwargs=None) -> NumpySorting:
    """Sort a recording of one segment in units of noise, with its motion corrected where it moves."""
    with open_traces(recording, set_aside, parameters, folder, job_kwargs) as traces:
        peaks = detect_peaks(traces, parameters)
        motion = find_motion(traces, peaks, parameters)
        if motion is None:
            with keep_learned(traces, parameters, folder) as traces:
                return sort_traces(traces, peaks, parameters, folder)
    del traces  # so that they are never in memory twice
    if folder is not None:
        motion.save(folder / "motion", overwrite=True)
    with open_traces(MotionCorrectedRecording(recording, motion), set_aside, parameters, folder, job_kwargs) as traces:
        with keep_learned(traces, parameters, folder) as traces:
            return sort_traces(traces, detect_peaks(traces, parameters), parameters, folder)


def sort_traces(traces, peaks, parameters, folder=None) -> NumpySorting:
    """Sort clean traces, from their peaks."""
    spikes = select_peaks(traces, peaks, parameters, margin=window_samples(traces, parameters))
    spikes = extract_features(traces, spikes, parameters)
    spikes = locate_spikes(traces, spikes)
    clusters = find_clusters(spikes, parameters)
    clusters, decisions = merge_clusters(traces, clusters, parameters)
    save_merges(folder, traces, decisions)
    templates, clusters = make_templates(traces, clusters, parameters)
    templates = without_collisions(traces, templates, clusters)
    traces = traces.with_inverse_noise()
    templates = refine_templates(traces, templates, clusters, parameters)
    if folder is not None and (parameters.save_array or parameters.debug):
        save_arrays(folder, traces, peaks, clusters, templates)
    matched = match_templates(traces, templates, parameters)
    units, discarded, more = curate(traces, matched, parameters)
    save_merges(folder, traces, pd.concat([decisions, more], ignore_index=True))
    measured, improbable = keep_neurons(judge(measure(traces, units, clusters), parameters), parameters)
    if folder is not None:
        discarded = pd.concat([discarded, improbable], ignore_index=True)
        save_findings(folder, measured, clusters, discarded, parameters.seed)
    return measured.to_sorting()


def inspect_sorting(recording, sorting, parameters, folder, job_kwargs=None) -> NumpySorting:
    """Measure the units of any sorting as those of ours, and save beside it what a report shows.

    Parameters
    ----------
    recording : BaseRecording
        With a probe; raw, as for `sort_recording`.
    sorting : BaseSorting
        Of any sorter, of that recording.
    parameters : SortingParameters
        Those of preprocessing and features are used.
    folder : str or Path
        Gets `findings.npz` and `artefacts.npy`.
    job_kwargs : dict, optional

    Returns
    -------
    sorting : NumpySorting
        The units that have spikes, with their ids and our properties.

    Raises
    ------
    NothingFound
        If no unit has a spike.
    """
    folder, job_kwargs = Path(folder), with_own_chunks(fix_job_kwargs(dict(job_kwargs or {})))
    prepared, set_aside = prepare(prepare_recording(recording), parameters, job_kwargs)
    save_set_aside(folder, recording, set_aside)
    with open_traces(prepared, set_aside, parameters, folder, job_kwargs) as traces:
        units, unit_ids = read_units(traces, recording, sorting, parameters)
        peaks = units.take(draw(np.random.default_rng(parameters.seed), units.label, parameters.n_peaks_per_channel))
        clusters = locate_spikes(traces, extract_features(traces, peaks, parameters))
        measured = judge(measure(traces, units, clusters), parameters)
        save_findings(folder, measured, clusters, as_table([]), parameters.seed)
    found = NumpySorting(units.to_spike_vector(), sorting.sampling_frequency, unit_ids)
    for name, values in measured.properties().items():
        found.set_property(name, values)
    return in_segments_of(recording, found)


def read_units(traces, recording, sorting, parameters):
    """Read the units of a sorting, on the clock of traces, and find the channel on which each has most energy.

    Returns
    -------
    units : Spikes
        Without the spikes that the recording cuts off.
    unit_ids : (n_units,) array
        Of the units that have spikes.
    """
    vector = sorting.to_spike_vector()
    lengths = [recording.get_num_samples(segment) for segment in range(recording.get_num_segments())]
    samples = vector["sample_index"] + (np.cumsum(lengths) - lengths)[vector["segment_index"]]
    n_before, n_after = window_samples(traces, parameters)
    inside = (samples >= n_before) & (samples < traces.n_samples - n_after)
    if not inside.any():
        raise NothingFound("the sorting has no spike in this recording")
    kept = np.unique(vector["unit_index"][inside])
    units = Spikes.at(samples[inside], 0, vector["unit_index"][inside]).compact()
    templates = average_waveforms(traces, units.to_spike_vector(), len(kept), n_before, n_after)
    main = (templates**2).sum(axis=1).argmax(axis=1)
    return replace(units, channel_index=main[units.label]), sorting.unit_ids[kept]


def save_arrays(folder, traces, peaks, clusters, templates):
    """Save intermediate results, each as `<folder>/<name>.npy`."""
    arrays = dict(
        noise_levels=traces.noise_levels,
        all_peaks=peaks,
        peaks=clusters.to_peaks(),
        shifts=clusters.shift,
        features=clusters.features,
        positions=clusters.positions_um,
        labels=clusters.label,
        templates=templates.get_dense_templates(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)


def save_findings(folder, measured, clusters, discarded, seed):
    """Save what the report shows, and the probability of each spike, as `<folder>/spike_probabilities.npy`."""
    collect(measured, clusters, discarded, seed).save(folder)
    np.save(folder / "spike_probabilities.npy", measured.spike_probability)


def save_merges(folder, traces, decisions):
    """Save what was merged, or nearly, or split, as `<folder>/merges.csv`, with the ids of channels."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        channel_ids = np.asarray(traces.recording.channel_ids)[decisions["channel_index"]]
        decisions.drop(columns="channel_index").assign(channel_id=channel_ids).to_csv(
            folder / "merges.csv", index=False
        )


def save_set_aside(folder, recording, set_aside):
    """Save the periods that were set aside as `<folder>/artefacts.npy`.

    SpikeInterface's `base_period_dtype` and `filled`: whether noise stands there now, or only what all channels had in
    common was taken off.
    """
    parts = [of_segments(recording, merge_periods(periods)) for periods in (set_aside.reduced, set_aside.filled)]
    array = np.zeros(sum(map(len, parts)), dtype=[*base_period_dtype, ("filled", "bool")])
    for name in parts[0].dtype.names:
        array[name] = np.concatenate([part[name] for part in parts])
    array["filled"][len(parts[0]) :] = True
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "artefacts.npy", np.sort(array, order=["segment_index", "start_sample_index"]))


def empty_sorting(recording, why) -> NumpySorting:
    """Give a sorting without units, with every property of a full one, and a warning that says why."""
    logger.warning("the sorting is empty: %s", why)
    warnings.warn(f"the sorting is empty: {why}", stacklevel=2)  # beside the log, for callers that listen
    nothing = NumpySorting.from_unit_dict({}, recording.sampling_frequency)
    for name, values in no_properties(recording).items():
        nothing.set_property(name, values)
    return add_silent_segments(nothing, recording.get_num_segments())


def add_silent_segments(sorting, n_segments) -> NumpySorting:
    """Complete a `NumpySorting`, in place, which counts segments only up to that of its last spike."""
    spikes = sorting.to_spike_vector()
    for segment_index in range(sorting.get_num_segments(), n_segments):
        sorting.add_sorting_segment(SpikeVectorSortingSegment(spikes, segment_index, sorting.unit_ids))
    return sorting
