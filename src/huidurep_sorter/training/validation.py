"""How well an encoder tells apart the neighbours of recordings that it wasn't trained on."""

import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from huidurep_sorter.training.spike_sets import MARGIN

N_FEATURES = 24  # of the representation that the mixture sees: the covariance of more would need more spikes
FLOOR = 1e-3  # of the variance, added to the mixture's covariance, so that it can be inverted with few spikes
EVERY = 3  # one unit of so many is the middle of a neighbourhood, since neighbourhoods overlap
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
