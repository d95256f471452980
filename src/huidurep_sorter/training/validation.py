"""How well an encoder tells apart the neighbours of recordings, or of times, that it wasn't trained on."""

import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors

from huidurep_sorter.training.spike_sets import MARGIN

N_FEATURES = 24  # of the representation that the mixture sees: the covariance of more would need more spikes
FLOOR = 1e-3  # of the variance, added to the mixture's covariance, so that it can be inverted with few spikes
EVERY = 3  # one unit of so many is the middle of a neighbourhood, since neighbourhoods overlap
N_NEIGHBOURS = 10  # as in the property `huidurep_nn_hit_rate`
MIN_SPIKES_TO_SCORE = 20  # of a unit; more than N_NEIGHBOURS, so that all of them could be its own
MIN_SPIKES_PER_UNIT = 5  # on average in a neighbourhood; under it the score is mostly chance


def validate(encoder, validation, radius_um=60.0, max_spikes_per_unit=60):
    """Score an encoder by the mean adjusted Rand index over the neighbourhoods of labelled spikes.

    The index is that of a Gaussian mixture, which is told the number of units, with their true labels.

    Parameters
    ----------
    encoder : Encoder
    validation : list of SpikeSet
        Those without labels are passed over.
    radius_um : float
        Units so near to one another are told apart.
    max_spikes_per_unit : int
        Later ones are left out.

    Returns
    -------
    score : float
        NaN where there is no neighbourhood of two units.
    """
    scores = []
    for spikes in validation:
        unit = np.array(spikes.unit)
        if unit.min() < 0:
            continue
        rank = np.zeros(len(unit), dtype=int)
        for u in np.unique(unit):
            rank[unit == u] = np.arange((unit == u).sum())
        kept = np.flatnonzero(rank < max_spikes_per_unit)
        features = encoder.embed(
            spikes.snippets[kept][:, MARGIN:-MARGIN].astype("float32"), offsets_um=spikes.offsets_um[kept]
        )
        features, unit, location = features[:, :N_FEATURES], unit[kept], spikes.location_um[kept]
        for u in np.unique(unit)[::EVERY]:
            near = np.linalg.norm(location - location[unit == u][0], axis=1) <= radius_um
            k = len(np.unique(unit[near]))
            if k > 1 and near.sum() > MIN_SPIKES_PER_UNIT * k:
                x = features[near]
                floor = FLOOR * x.var() + 1e-9  # 1e-9: where all features are the same
                mixture = GaussianMixture(k, covariance_type="tied", reg_covar=floor, random_state=0)
                scores.append(adjusted_rand_score(unit[near], mixture.fit_predict(x)))
    return float(np.mean(scores)) if scores else float("nan")


def nn_hit_rates(encoder, spikes, seeds, radius_um=60.0, spikes_per_unit=60):
    """Score how many of each unit's nearest spikes, among those of units near it, are its own.

    Parameters
    ----------
    encoder : Encoder
    spikes : SpikeSet
        With labels.
    seeds : sequence of int
        Each draws spikes anew.
    radius_um : float
        Units so near to one another are told apart.
    spikes_per_unit : int
        Drawn, at most; units of fewer than `MIN_SPIKES_TO_SCORE` are left out.

    Returns
    -------
    rates : (n_seeds, n_units) float64
        Of the units that have a neighbour.
    """
    features = encoder.embed(spikes.snippets[:, MARGIN:-MARGIN].astype("float32"), offsets_um=spikes.offsets_um)
    unit, location = np.array(spikes.unit), np.array(spikes.location_um)
    units = [u for u, count in zip(*np.unique(unit, return_counts=True), strict=True) if count >= MIN_SPIKES_TO_SCORE]
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        drawn = np.concatenate([rng.permutation(np.flatnonzero(unit == u))[:spikes_per_unit] for u in units] or [[]])
        drawn = drawn.astype(int)
        rates = [_nn_hit_rate(features[drawn], unit[drawn], location[drawn], u, radius_um) for u in units]
        rows.append([rate for rate in rates if rate is not None])
    return np.array(rows)


def _nn_hit_rate(features, unit, location, own, radius_um):
    """Score one unit; None where no other is near it."""
    near = np.linalg.norm(location - location[unit == own][0], axis=1) <= radius_um
    features, is_own = features[near], unit[near] == own
    if is_own.all():
        return None
    _, nearest = NearestNeighbors(n_neighbors=N_NEIGHBOURS).fit(features).kneighbors()  # without the spike itself
    return is_own[nearest[is_own]].mean()
