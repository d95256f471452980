"""Groups of spikes, what is known of each, and how probable it is that two of them are one neuron's."""

from dataclasses import dataclass, replace

import numpy as np

from huidurep_sorter.spikes.features import FEATURES
from huidurep_sorter.spikes.spike_trains import count_presence
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.templates import evidence
from huidurep_sorter.templates.split_half import (
    SplitHalfTemplates,
    are_near,
    compare,
    differences,
    energies,
    estimate_split_half,
    main_channels,
    split_half_window,
)


@dataclass(frozen=True, kw_only=True)
class GroupRules:
    """Which groups are compared, and what of each."""

    max_difference: float = 0.75  # of templates; those that differ more hardly ever are one; a limit of time (units-59)
    n_views: int = 32  # spikes of a group whose features are compared; a limit of time (units-59, units-69)
    margin_ms: float = 3.0  # ms at the ends of a recording in which no spike is looked at; a limit: it is cut off there
    reach_ms: float = 0.4  # ms around a spike in which it may be largest on another channel; a limit


RULES = GroupRules()


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Groups of spikes that `unite` makes fewer, in place.

    Attributes
    ----------
    templates : SplitHalfTemplates
    means : (n_groups, n_components, n_channels) float64
        Of both halves.
    energies : (n_groups,) float64
        In units of noise.
    trains : list of (n,) int64
        Samples, ascending.
    presence : (n_groups, n_bins) int64
        Spikes in each stretch of the recording.
    views : list of dict of int to (n, n_features) float
        Of each group: features of some of its spikes around a channel.
    locations_um : (n_channels, 2) float
    sampling_frequency : float
    n_samples : float
        In which spikes could be seen.
    are_parts : bool, default: False
        Whether the two that are compared are what one unit was cut into.
    """

    templates: SplitHalfTemplates
    means: np.ndarray
    energies: np.ndarray
    trains: list
    presence: np.ndarray
    views: list
    locations_um: np.ndarray
    sampling_frequency: float
    n_samples: float
    are_parts: bool = False

    def compare_with(self, index, others):
        """Measure how one group and each of some others differ.

        Returns
        -------
        values : (n_others, n_evidence) float64
            As `evidence.EVIDENCE` names them.
        lag : (n_others,) int64
            Samples by which the spikes of each would have to be moved to fit those of `index`.
        """
        channels = np.flatnonzero(self.means[index].any(axis=0))
        mean = self.means[index][:, channels]
        theirs = self.means[np.asarray(others)[:, None, None], np.arange(len(mean))[:, None], channels]
        difference, lag = compare(self.templates, theirs, self.energies[others], mean, self.energies[index])
        values = [self.compare_pair(index, other, *how) for other, *how in zip(others, difference, lag, strict=True)]
        return np.array(values).reshape(len(others), len(evidence.EVIDENCE)), lag

    def compare_pair(self, index, other, difference, lag):
        """Give the evidence of one pair, whose templates differ by so much at such a lag."""
        large, small = (index, other) if self.energies[index] >= self.energies[other] else (other, index)
        pair, moved = [large, small], -lag if large == other else lag
        seen = [self.means[group].any(axis=0) for group in pair]
        trains = self.trains[large], self.trains[small] + moved
        centres = [centre(self.means[group], self.locations_um) for group in pair]
        n_spikes = [len(train) for train in trains]
        shared = sorted(set(self.views[large]) & set(self.views[small]))
        return np.concatenate(
            [
                evidence.compare_templates(
                    difference,
                    self.energies[pair],
                    n_spikes,
                    self.means.shape[1] * seen[0].sum(),
                    1000 * lag / self.sampling_frequency,
                    seen[0].sum(),
                ),
                evidence.compare_trains(*trains, self.presence[pair], self.sampling_frequency, self.n_samples),
                [np.log1p(np.linalg.norm(centres[0] - centres[1]))],
                np.mean([evidence.compare_views(self.views[large][c], self.views[small][c]) for c in shared], axis=0),
                [float(self.are_parts)],
            ]
        )

    def main_channel(self, index):
        """Give the channel on which a group's template has most energy."""
        return int((self.means[index] ** 2).sum(axis=0).argmax())

    def unite(self, index, other, lag):
        """Put another group into one, its spikes moved by `lag`, in place; the other stays as it was."""
        counts = self.templates.counts[[index, other]]
        shift_matrix = self.templates.shifts[np.flatnonzero(self.templates.lags == lag)[0]]
        moved = np.einsum("kj,hjc->hkc", shift_matrix, self.templates.coefficients[other])
        own = self.templates.coefficients[index]
        self.templates.coefficients[index] = (counts[0] * own + counts[1] * moved) / counts.sum()
        self.templates.counts[index] = counts.sum()
        self.means[index] = self.templates.coefficients[index].mean(axis=0)
        self.energies[index] = energies(self.templates.coefficients[index])
        self.trains[index] = np.sort(np.concatenate([self.trains[index], self.trains[other] + lag]))
        self.presence[index] += self.presence[other]
        for channel, theirs in self.views[other].items():
            own = self.views[index].get(channel)
            self.views[index][channel] = theirs if own is None else join_views(own, theirs, counts)


def join_views(own, theirs, counts):
    """Take of the views of two groups as many as one has, in the proportion of their spikes and in turns."""
    n = max(len(own), len(theirs))
    n_theirs = int(np.clip(round(n * counts[1] / counts.sum()), n - len(own), len(theirs)))
    parts = spread(own, n - n_theirs), spread(theirs, n_theirs)
    places = np.concatenate([(np.arange(len(part)) + 0.5) / max(len(part), 1) for part in parts])
    return np.concatenate(parts)[np.argsort(places, kind="stable")]


def spread(values, n):
    """Take n of some values, evenly."""
    return values[np.linspace(0, len(values) - 1, n).round().astype("int64")]


def centre(mean, locations_um):
    """Find the centre of mass of a template's energy, (2,) in um."""
    weight = (mean**2).sum(axis=0)
    return weight @ locations_um / max(weight.sum(), 1e-12)


def describe_groups(traces, spikes, parameters, among=None) -> tuple:
    """Describe groups of spikes, and say which of them are compared.

    Parameters
    ----------
    traces : Traces
    spikes : Spikes
        Labels 0 to n_groups - 1, at least one spike each; -1 for none.
    parameters : SortingParameters
        `features` and what they take.
    among : (n_groups, n_groups) bool, optional
        Pairs that are compared; by default those that are near and alike.

    Returns
    -------
    groups : Groups
    comparable : (n_groups, n_groups) bool
    """
    spikes = spikes.compact()
    templates = estimate_split_half(traces, spikes)
    comparable = are_comparable(traces, templates) if among is None else among
    on_clock = replace(spikes, sample_index=traces.on_clock_of_signal(spikes.sample_index))
    n_samples = traces.n_samples_with_signal
    groups = Groups(
        templates=templates,
        means=templates.coefficients.mean(axis=1),
        energies=energies(templates.coefficients),
        trains=spikes.trains(),
        presence=count_presence(on_clock, traces.sampling_frequency, n_samples),
        views=look_at(traces, spikes, templates, comparable, parameters),
        locations_um=traces.locations_um,
        sampling_frequency=traces.sampling_frequency,
        n_samples=n_samples,
    )
    return groups, comparable


def are_comparable(traces, templates):
    """Say which groups are near and not too unlike, (n_groups, n_groups) bool."""
    near = are_near(traces, templates) & ~np.eye(len(templates.counts), dtype=bool)
    comparable = np.zeros_like(near)
    for index in range(len(near)):
        others = np.flatnonzero(near[index, :index])
        difference, _ = differences(templates, index, others)
        comparable[index, others[difference < RULES.max_difference]] = True
    return comparable | comparable.T


def look_at(traces, spikes, templates, comparable, parameters):
    """Give the features of some spikes of each group, for each pair around the main channel of the larger template.

    Returns
    -------
    views : list of dict of int to (n, n_features) float
    """
    main, trains = main_channels(templates), spikes.trains()
    first, second = np.nonzero(np.triu(comparable))
    energy = energies(templates.coefficients)
    around = np.where(energy[first] >= energy[second], main[first], main[second])
    pairs = np.column_stack([np.append(first, second), np.append(around, around)])
    wanted = [tuple(pair) for pair in np.unique(pairs, axis=0).tolist()]
    views = [{} for _ in main]
    if not wanted:
        return views
    shifts = lags_on_channels(traces, templates, wanted)
    chosen = [spread(trains[group], min(len(trains[group]), RULES.n_views)) for group, _ in wanted]
    features = look_around(traces, chosen, shifts, [channel for _, channel in wanted], parameters)
    for (group, channel), own in zip(wanted, features, strict=True):
        views[group][channel] = np.repeat(own, 2, axis=0) if len(own) == 1 else own
    return views


def look_around(traces, trains, shifts, channels, parameters):
    """Give the features of the spikes of trains, each moved by its shift and seen around its channel.

    Returns
    -------
    features : list of (n, n_features) float64
    """
    samples = np.concatenate([train + shift for train, shift in zip(trains, shifts, strict=True)])
    sizes = [len(train) for train in trains]
    margin = int(RULES.margin_ms * traces.sampling_frequency / 1000)
    samples = samples.clip(margin, max(traces.n_samples - margin, margin))
    order = np.argsort(samples, kind="stable")  # SpikeInterface's SVD reads peaks in their order
    peaks = Spikes.at(samples, np.repeat(channels, sizes)).take(order)
    features = FEATURES[parameters.features](traces, peaks, parameters)[np.argsort(order)].astype("float64")
    return np.split(features, np.cumsum(sizes)[:-1])


def lags_on_channels(traces, templates, wanted):
    """Find at which sample each of some (group, channel) is largest, from the group's spikes, (n,) int64."""
    n_before, _ = split_half_window(traces.sampling_frequency)
    reach = int(RULES.reach_ms * traces.sampling_frequency / 1000)
    group, channel = np.array(wanted).T
    waveforms = templates.coefficients.mean(axis=1)[group, :, channel] @ templates.basis.T
    return np.abs(waveforms[:, n_before - reach : n_before + reach + 1]).argmax(axis=1) - reach
