"""From matched spikes to units: merges, duplicates, what is no neuron, and what a curator wants to know."""

import logging

import numpy as np

from huidurep_sorter.spikes.spike_trains import censor, pair_ratio, violation_ratio
from huidurep_sorter.spikes.spikes import Units, drop, inside, make_units
from huidurep_sorter.templates import agglomeration as merging
from huidurep_sorter.templates import duplicates as repeats
from huidurep_sorter.templates.agglomeration import template_norms
from huidurep_sorter.templates.estimation import as_spike_vector, average_waveforms, lags_of_peaks, window_samples
from huidurep_sorter.units import temporal_splits as fragments

logger = logging.getLogger("huidurep_sorter")

MIN_EXPECTED_PAIRS = 1.0  # for not one seen to hint at a refractory period
ENOUGH_EXPECTED_PAIRS = 6.0  # for it to decide
MIN_SPIKES = 20
MAX_VIOLATION_RATIO = 0.9
MIN_EXPECTED_VIOLATIONS = 5.0
MIN_RELIABILITY = 0.95
SMALL_NORM = 13.0  # a small unit that fires rarely is the largest spikes of what lies in the background
MIN_RATE_OF_SMALL = 1.5
FAINT_NORM = 10.0  # so small a unit stays only if it is distinct
MIN_CONFIDENCE_OF_FAINT = 0.85
MAX_VIOLATION_RATIO_OF_FAINT = 0.5
ECHO_MS = 3.0


def curate(recording, spikes, parameters, job_kwargs=None):
    """Merge, remove duplicates and leave out what is no neuron.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed traces, in one segment.
    spikes : structured array (n_spikes,)
        `sample_index` and `cluster_index`.
    parameters : SortingParameters
    job_kwargs : dict, optional

    Returns
    -------
    units : Units
    """
    units = inside(recording, make_units(spikes["sample_index"], spikes["cluster_index"]))
    units = drop(units, np.bincount(units.label) < MIN_SPIKES)
    if len(units) == 0:
        return units
    units = units.select(~are_repeats(recording, units, job_kwargs))
    units = drop(units, np.bincount(units.label) < MIN_SPIKES)
    halves = merging.estimate_halves(recording, units.sample_index, units.label, job_kwargs)
    units = regroup(recording, units, *merge_groups(recording, units, halves))
    halves = merging.estimate_halves(recording, units.sample_index, units.label, job_kwargs)
    bad = are_no_neurons(recording, units, halves, parameters)
    norms, near = template_norms(halves), merging.are_near(recording, halves)
    bad |= repeats.are_echoes(units, recording.sampling_frequency, norms, near, max_lag_ms=ECHO_MS)
    n_found, units, halves = bad.size, drop(units, bad), halves.select(~bad)
    if len(units) and parameters.join_fragments:
        units = regroup(recording, units, *fragments.join(recording, units, halves, job_kwargs))
    n_left = units.label.max(initial=-1) + 1
    logger.info("%d units after merging, %d left out, %d joined", n_found, bad.sum(), (~bad).sum() - n_left)
    return align_to_peaks(recording, units, parameters, job_kwargs) if len(units) else units


def align_to_peaks(recording, units, parameters, job_kwargs=None):
    """Units with spikes where their mean waveform is largest, in the sign of peaks.

    The parts of a unit were found at one phase of its waveform or another, and merging took that of the largest part.
    """
    n_before, n_after = window_samples(recording, parameters)
    spikes = as_spike_vector(units.sample_index, units.label)
    waveforms = average_waveforms(recording, spikes, units.label.max() + 1, n_before, n_after, job_kwargs)
    moves = lags_of_peaks(waveforms, n_before, parameters.peak_sign)
    return inside(recording, make_units(units.sample_index + moves[units.label], units.label))


def regroup(recording, units, groups, shifts) -> Units:
    """Units from groups of units, the spikes of each moved by its shift; what a group fired at once counts once."""
    labels, sample_shifts = merging.relabel(units.label, groups, shifts)
    units = make_units(units.sample_index + sample_shifts, labels)
    return inside(recording, censor(units, recording.sampling_frequency))


def are_repeats(recording, units, job_kwargs=None):
    """(n_spikes,) bool: spikes of units that are another's spikes found again, and single spikes that are."""
    fs = recording.sampling_frequency
    halves = merging.estimate_halves(recording, units.sample_index, units.label, job_kwargs)
    norms = template_norms(halves)
    energy = norms**2 * np.bincount(units.label)
    near = merging.are_near(recording, halves)
    bad = repeats.are_echoes(units, fs, energy, near, max_lag_ms=0.0)
    repeated = bad[units.label]
    others, norms, near = drop(units, bad), norms[~bad], near[np.ix_(~bad, ~bad)]
    repeated[~repeated] = repeats.are_satellites(others, fs, norms, near, recording.get_total_samples())
    return repeated


def merge_groups(recording, units, halves):
    """Group and shift of each unit: of similar templates and with a refractory period in common.

    Units whose templates hardly differ are merged unless their spikes clearly ignore each other; those whose templates
    differ more, only if a common refractory period shows. Where there are too few spikes to show it, it is enough that
    templates hardly differ, that not one of some expected pairs is there, or that one unit has few spikes: little is
    lost if they are another's.
    """
    near = merging.are_near(recording, halves)
    counts, n, fs = halves.counts, len(halves.counts), recording.sampling_frequency
    duration, trains = recording.get_total_samples(), units.trains()
    allowed = np.zeros((n, n), dtype=bool)
    for a in range(n):
        difference, _ = merging.differences(halves, a)
        for b in np.flatnonzero(near[a] & (difference < SIMILAR[-1][0])):
            if b <= a:
                continue
            ratio, expected = pair_ratio(trains[a], trains[b], fs, duration)
            most = next(r for d, r in SIMILAR if difference[b] < d)
            is_minor = 5 * min(counts[a], counts[b]) < max(counts[a], counts[b])
            alike = is_minor or difference[b] < SIMILAR[0][0]
            hint = expected >= MIN_EXPECTED_PAIRS and ratio == 0
            same = ratio < most if expected >= ENOUGH_EXPECTED_PAIRS else alike or hint
            allowed[a, b] = allowed[b, a] = same
    return merging.agglomerate(halves, allowed, SIMILAR[-1][0])


SIMILAR = ((0.3, 0.6), (0.5, 0.35))  # templates that differ by less: at most so many of the pairs expected by chance


def reliability(halves):
    """How alike the templates of the even and of the odd spikes are, 1 for the same, (n_units,)."""
    whole = np.sqrt((halves.coefficients.mean(axis=1) ** 2).sum(axis=(1, 2)))
    return template_norms(halves) / np.maximum(whole, 1e-9)


def are_sure(properties, min_confidence):
    """(n_units,) bool: units distinct enough from others, which faint ones must be all the more."""
    faint = properties["template_norm"] < FAINT_NORM
    sure = properties["confidence"] >= np.where(faint, MIN_CONFIDENCE_OF_FAINT, min_confidence)
    return sure & ~(faint & (properties["refractory_violations"] > MAX_VIOLATION_RATIO_OF_FAINT))


def are_no_neurons(recording, units, halves, parameters):
    """(n_units,) bool: too few spikes, too small a template, or no refractory period."""
    duration, fs = recording.get_total_samples(), recording.sampling_frequency
    counts = np.bincount(units.label, minlength=len(halves.counts))
    bad = counts < max(MIN_SPIKES, parameters.min_firing_rate * duration / fs)
    norms = template_norms(halves)
    bad |= norms < parameters.min_template_norm
    bad |= (norms < SMALL_NORM) & (counts < MIN_RATE_OF_SMALL * duration / fs)
    bad |= reliability(halves) < MIN_RELIABILITY
    trains = units.trains()
    for label in np.flatnonzero(~bad):
        ratio, expected = violation_ratio(trains[label], fs, duration)
        bad[label] = ratio > MAX_VIOLATION_RATIO and expected >= MIN_EXPECTED_VIOLATIONS
    return bad
