"""Compute the features that are compared: those of encoders, those of the sorter's other methods, and PCA."""

import numpy as np
from sklearn.decomposition import PCA

from huidurep_sorter.encoder.embedding import embed_spikes
from huidurep_sorter.encoder.network import Encoder, EncoderConfig
from huidurep_sorter.parameters import SortingParameters
from huidurep_sorter.spikes.features import FEATURES
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.traces.snippets import find_neighbourhoods, iterate_snippets
from huidurep_sorter.traces.traces import Traces

ENCODER = "huidurep"  # the sorter's name of features by an encoder; here each encoder has a name of its own
NAMED = ("pca", *(name for name in FEATURES if name != ENCODER))


def read_snippets(recording, peaks, window, neighbourhoods):
    """Read the snippets of all peaks into memory, (n, n_samples, n_neighbours) float32."""
    snippets = np.empty((len(peaks), window.n_samples, neighbourhoods.channel_indices.shape[1]), dtype="float32")
    for indices, piece in iterate_snippets(recording, peaks, window, neighbourhoods):
        snippets[indices] = piece
    return snippets


def compute_features(recording, peaks, methods, seed=0) -> dict:
    """Compute features by label, each (n, n_features), and add the snippets themselves as "snippets".

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed, of one segment.
    peaks : structured array (n,)
        In the order of time.
    methods : dict
        Label to an Encoder, "pca" (32 components of the whole snippet), or another method of the sorter ("svd").
    seed : int, default: 0
    """
    config = EncoderConfig()
    snippets = read_snippets(recording, peaks, config.window, find_neighbourhoods(recording, config.n_channels))
    flat = snippets.reshape(len(snippets), -1)
    out = {}
    for label, method in methods.items():
        if isinstance(method, Encoder):
            out[label] = embed_spikes(recording, peaks, method, preprocess=False)
        elif method == "pca":
            out[label] = PCA(min(config.n_features, *flat.shape), random_state=seed).fit_transform(flat)
        else:
            out[label] = _sorter_features(recording, peaks, method, seed)
    return out | {"snippets": flat}


def _sorter_features(recording, peaks, method, seed):
    """Compute features just as the sorter does, by the name of the method."""
    noise_levels = np.ones(recording.get_num_channels())  # the recording is in units of noise
    traces = Traces(recording=recording, noise_levels=noise_levels, job_kwargs=dict(n_jobs=1, progress_bar=False))
    spikes = Spikes.at(peaks["sample_index"], peaks["channel_index"])
    return FEATURES[method](traces, spikes, SortingParameters(features=method, seed=seed))
