"""How well an encoder tells apart the neighbours of recordings that it wasn't trained on."""

import numpy as np

from huidurep_sorter.training.spike_sets import MARGIN


def validate(encoder, validation, radius_um=60.0, max_spikes_per_unit=60):
    """Mean adjusted Rand index of a Gaussian mixture at the true K, over the neighbourhoods of labelled spikes.

    Parameters
    ----------
    encoder : Encoder
    validation : list of SpikeSet
        Those without labels are passed over.
    """
    from sklearn.metrics import adjusted_rand_score
    from sklearn.mixture import GaussianMixture

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
        features, unit, location = features[:, :24], unit[kept], spikes.location_um[kept]
        for u in np.unique(unit)[::3]:
            near = np.linalg.norm(location - location[unit == u][0], axis=1) <= radius_um
            k = len(np.unique(unit[near]))
            if k > 1 and near.sum() > 5 * k:
                x = features[near]
                mixture = GaussianMixture(k, covariance_type="tied", reg_covar=1e-3 * x.var() + 1e-9, random_state=0)
                scores.append(adjusted_rand_score(unit[near], mixture.fit_predict(x)))
    return float(np.mean(scores)) if scores else float("nan")
