"""From matched spikes to units: merges, duplicates, what is no neuron, and what a curator wants to know."""

import logging
from dataclasses import dataclass

import numpy as np

from huidurep_sorter import merging, repeats

logger = logging.getLogger("huidurep_sorter")

REFRACTORY_MS = 2.0
CENSORED_MS = 1.0  # the rest of a badly matched spike can match again; no unit fires twice this fast
MIN_EXPECTED_PAIRS = 6.0
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


@dataclass(frozen=True, kw_only=True)
class Units:
    """Spikes with labels.

    Attributes
    ----------
    sample_index, label : (n_spikes,) int64
        Ordered by sample.
    """

    sample_index: np.ndarray
    label: np.ndarray

    def __len__(self):
        return len(self.label)

    def trains(self):
        """Samples of each unit's spikes, a list of (n,) int64."""
        order = np.argsort(self.label, kind="stable")
        return np.split(self.sample_index[order], np.cumsum(np.bincount(self.label))[:-1])

    def select(self, mask):
        """The spikes of the mask."""
        return Units(sample_index=self.sample_index[mask], label=self.label[mask])


def make_units(sample_index, label):
    """Units from spikes in any order, labels made 0 to n - 1, those of -1 left out."""
    kept = np.flatnonzero(label >= 0)
    order = kept[np.lexsort((label[kept], sample_index[kept]))]
    _, label = np.unique(label[order], return_inverse=True)
    return Units(sample_index=sample_index[order].astype("int64"), label=label)


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
    groups, shifts = merge_groups(recording, units, halves)
    labels, sample_shifts = merging.relabel(units.label, groups, shifts)
    units = make_units(units.sample_index + sample_shifts, labels)
    units = inside(recording, censor(units, recording.sampling_frequency))
    halves = merging.estimate_halves(recording, units.sample_index, units.label, job_kwargs)
    bad = are_no_neurons(recording, units, halves, parameters)
    norms, near = template_norms(halves), merging.are_near(recording, halves)
    bad |= repeats.are_echoes(units, recording.sampling_frequency, norms, near, max_lag_ms=ECHO_MS)
    logger.info("%d units after merging, %d of them left out", bad.size, bad.sum())
    return drop(units, bad)


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


def inside(recording, units):
    """Spikes within the recording only."""
    return units.select((units.sample_index >= 0) & (units.sample_index < recording.get_total_samples()))


def drop(units, bad):
    """Units without those of the mask (n_units,)."""
    kept = ~bad[units.label]
    return make_units(units.sample_index[kept], units.label[kept])


def censor(units, sampling_frequency):
    """Where a unit fires twice within `CENSORED_MS`, only the first spike stays."""
    gap = CENSORED_MS * sampling_frequency / 1000
    kept = np.ones(len(units), dtype=bool)
    for label, times in enumerate(units.trains()):
        indices = np.flatnonzero(units.label == label)
        last = -np.inf
        for index, time in zip(indices, times, strict=True):
            kept[index] = time - last > gap
            if kept[index]:
                last = time
    return units.select(kept)


def merge_groups(recording, units, halves):
    """Group and shift of each unit: of similar templates and with a refractory period in common.

    Units whose templates hardly differ are merged unless their spikes clearly ignore each other; those whose templates
    differ more, only if a common refractory period shows. Where there are too few spikes to show it,
    templates decide; a fragment may differ by more, since little is lost if it is another's.
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
            is_fragment = 5 * min(counts[a], counts[b]) < max(counts[a], counts[b])
            alike = is_fragment or difference[b] < SIMILAR[0][0]
            same = ratio < most if expected >= MIN_EXPECTED_PAIRS else alike
            allowed[a, b] = allowed[b, a] = same
    return merging.agglomerate(halves, allowed, SIMILAR[-1][0])


SIMILAR = ((0.3, 0.6), (0.5, 0.35))  # templates that differ by less: at most so many of the pairs expected by chance


def pair_ratio(train_a, train_b, sampling_frequency, duration):
    """Pairs of spikes of two units within the refractory period, over those expected of independent units.

    Returns
    -------
    ratio : float
    expected : float
    """
    low, high = CENSORED_MS * sampling_frequency / 1000, REFRACTORY_MS * sampling_frequency / 1000

    def count(reach):
        reach = int(reach)
        return (np.searchsorted(train_b, train_a + reach, "right") - np.searchsorted(train_b, train_a - reach)).sum()

    expected = 2.0 * len(train_a) * len(train_b) * (high - low) / duration
    return float((count(high) - count(low)) / max(expected, 1e-9)), float(expected)


def violation_ratio(train, sampling_frequency, duration):
    """Pairs of a unit's spikes within the refractory period, over those of a Poisson process of its rate.

    Returns
    -------
    ratio : float
    expected : float
    """
    low, high = CENSORED_MS * sampling_frequency / 1000, REFRACTORY_MS * sampling_frequency / 1000
    intervals = np.diff(np.sort(train))
    observed = np.sum((intervals > low) & (intervals < high))
    expected = len(train) ** 2 * (high - low) / duration
    return float(observed / max(expected, 1.0)), float(expected)


def template_norms(halves):
    """Norm of each template in units of noise, without the part that noise adds, (n_units,)."""
    energy = (halves.coefficients[:, 0] * halves.coefficients[:, 1]).sum(axis=(1, 2))
    return np.sqrt(np.maximum(energy, 0))


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
