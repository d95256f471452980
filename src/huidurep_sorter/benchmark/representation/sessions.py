"""Score whether units are recognised in a later recording of the same neurons, with the probe a little displaced."""

import numpy as np
from spikeinterface.core import concatenate_recordings

from huidurep_sorter.benchmark.representation.features import compute_features
from huidurep_sorter.benchmark.representation.known_spikes import KnownSpikes
from huidurep_sorter.benchmark.representation.scores import mean_or_nan

HIGH_SNR = 8.0
RECALL_NAMES = [f"recall, SNR from {HIGH_SNR:g}", "recall"]


def features_of_sessions(first: KnownSpikes, second: KnownSpikes, methods, seed=0) -> dict:
    """Compute features of both sessions by label, (n_first + n_second, n_features). PCA and SVD are fitted to both.

    Raises
    ------
    ValueError
        If the probes differ.
    """
    a, b = (known.recording.get_channel_locations() for known in (first, second))
    if a.shape != b.shape or not np.allclose(a, b):
        raise ValueError("both sessions must be recorded with the same channels, in the same order")
    peaks = np.concatenate([first.peaks, second.peaks])
    peaks["sample_index"][len(first.peaks) :] += first.recording.get_num_samples()
    return compute_features(concatenate_recordings([first.recording, second.recording]), peaks, methods, seed)


def session_scores(features, first: KnownSpikes, second: KnownSpikes) -> dict:
    """Compute recall at rank 1 of units with an SNR of at least 8 in both sessions, and of all units.

    Parameters
    ----------
    features : (n_first + n_second, n_features)
    first, second : KnownSpikes
    """
    means = _unit_means(features[: len(first.unit)], first), _unit_means(features[len(first.unit) :], second)
    recognised = recall_at_1(*means)
    snr = [dict(zip(known.unit_ids[known.unit].tolist(), known.snr, strict=True)) for known in (first, second)]
    high = [value for unit, value in recognised.items() if min(s[unit] for s in snr) >= HIGH_SNR]
    return dict(zip(RECALL_NAMES, (mean_or_nan(high), mean_or_nan(list(recognised.values()))), strict=True))


def recall_at_1(first, second) -> dict:
    """Tell how often the nearest unit of the other session is the same one, for each unit that both have.

    Parameters
    ----------
    first, second : dict
        Unit to its mean features (n_features,). All of the other session's units are candidates. The nearest one has
        the largest cosine.

    Returns
    -------
    recognised : dict
        Unit to the mean of both directions: 0, 0.5 or 1.
    """
    recognised = {unit: 0.0 for unit in first if unit in second}
    for own, other in ((first, second), (second, first)):
        candidates = list(other)
        directions = np.stack([other[unit] / np.linalg.norm(other[unit]) for unit in candidates])
        for unit in recognised:
            recognised[unit] += 0.5 * (candidates[int((directions @ own[unit]).argmax())] == unit)
    return recognised


def _unit_means(features, known):
    """Average the features of each unit, by the unit's id."""
    ids = known.unit_ids[known.unit]
    return {unit: features[ids == unit].mean(axis=0) for unit in np.unique(ids).tolist()}
