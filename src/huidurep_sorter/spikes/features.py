"""What is known of each spike before clustering: its features (encoder or SVD) and its position.

Other features, or an encoder of your own, are another function in `FEATURES`; parameters, help and benchmark read its
name from there. (A file of weights needs no code: it is the parameter `weights`.)
"""

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from spikeinterface.sortingcomponents.peak_localization import localize_peaks
from spikeinterface.sortingcomponents.waveforms.peak_svd import extract_peaks_svd

from huidurep_sorter.encoder.embedding import embed_spikes
from huidurep_sorter.runtime import NothingFound, stage
from huidurep_sorter.spikes.spikes import Spikes
from huidurep_sorter.traces.snippets import find_neighbourhoods


@dataclass(frozen=True, kw_only=True)
class FeatureRules:
    """What SVD features and positions are made of."""

    n_svd_channels: int = 11  # channels; the encoder's default, so that both can be compared; fewer are few (spikes-28)
    n_svd_components: int = 5  # of each channel; SpikeInterface's default
    svd_ms_before: float = 0.5  # ms; SpikeInterface's default
    svd_ms_after: float = 1.5  # ms; SpikeInterface's default
    tiny: float = 1e-9  # a limit: against a division by zero
    location_radius_um: float = 75.0  # um around the peak's channel, over which the centre of mass is taken (spikes-20)


RULES = FeatureRules()


def encoder_features(traces, spikes, parameters):
    """Represent each spike by the encoder; `weights`, `torch_device` and `batch_size` are used."""
    return embed_spikes(
        traces.recording,
        spikes.to_peaks(),
        weights=parameters.weights,
        device=parameters.torch_device,
        preprocess=False,
        batch_size=parameters.batch_size,
        verbose=traces.job_kwargs.get("progress_bar", False),
    )


def channel_svd(traces, spikes, parameters):
    """Represent each spike by SpikeInterface's SVD of each channel; `seed` is used."""
    return svd_features(traces.recording, spikes.to_peaks(), parameters.seed, traces.job_kwargs)


def embedding_and_svd(traces, spikes, parameters):
    """Represent each spike by the encoder, and on shanks of few channels by SVD beside it.

    There SVD tells neighbours apart better than the encoder, and both together as well (spikes-28, units-65).
    """
    features = encoder_features(traces, spikes, parameters)
    if is_small(traces, spikes.channel_index).any():
        with suppress(NothingFound):  # SVD has no spike to learn from: the embedding has to do
            features = put_beside(features, channel_svd(traces, spikes, parameters), traces, spikes.channel_index)
    return features


FEATURES = {"huidurep": embedding_and_svd, "svd": channel_svd}


@stage("represent")
def extract_features(traces, spikes, parameters) -> Spikes:
    """Give each spike its features, (n_spikes, n_features) float32, by the method that `parameters.features` names."""
    return replace(spikes, features=FEATURES[parameters.features](traces, spikes, parameters))


def is_small(traces, channel_index):
    """Say whether the shank of each channel has fewer channels than a snippet of the encoder, (n,) bool."""
    shanks, counts = np.unique(traces.shanks, return_counts=True)
    return counts[np.searchsorted(shanks, traces.shanks[channel_index])] < RULES.n_svd_channels


def put_beside(features, others, traces, channel_index):
    """Put other features beside features, of the same spread on each channel; zeros on shanks of many channels.

    Parameters
    ----------
    features : (n_spikes, n_features) float32
    others : (n_spikes, n_others) float32
    traces : Traces
    channel_index : (n_spikes,) int64

    Returns
    -------
    features : (n_spikes, n_features + n_others) float32
    """
    beside = np.zeros_like(others)
    for channel in np.unique(channel_index[is_small(traces, channel_index)]):
        here = channel_index == channel
        spread, of_others = (np.sqrt(values[here].var(axis=0).sum()) for values in (features, others))
        beside[here] = others[here] * (spread / max(of_others, RULES.tiny))
    return np.concatenate([features, beside], axis=1)


def svd_features(recording, peaks, seed=0, job_kwargs=None):
    """Reduce each of the nearest channels by SVD over time, (n_peaks, components * channels) float32.

    The channels are in the order of the probe, so features of peaks on different channels do not compare.

    Raises
    ------
    NothingFound
        If SVD has no spike to learn from.
    """
    neighbours = find_neighbourhoods(recording, RULES.n_svd_channels).channel_indices
    mask = np.zeros((len(neighbours), len(neighbours)), dtype=bool)
    for channel, indices in enumerate(neighbours):
        mask[channel, indices[indices >= 0]] = True
    try:
        with np.errstate(invalid="ignore"):  # one spike has no variance, of which scikit-learn says how much it knows
            features, _, _ = extract_peaks_svd(
                recording,
                peaks,
                ms_before=RULES.svd_ms_before,
                ms_after=RULES.svd_ms_after,
                n_components=RULES.n_svd_components,
                sparsity_mask=mask,
                seed=seed,
                job_kwargs=job_kwargs or {},
            )
    except ValueError as error:
        if "0 sample(s)" in str(error):  # it learns from spikes that are largest where they were detected
            raise NothingFound("no spike is largest where it was detected, and SVD has none to learn from") from error
        raise
    return features.reshape(len(peaks), -1).astype("float32")


@stage("locate")
def locate_spikes(traces, spikes) -> Spikes:
    """Give each spike its position in the plane of the probe, (n_spikes, 2) float32 in um: centre of mass."""
    peaks = spikes.to_peaks()
    with np.errstate(invalid="ignore"):  # where the traces are zero around a peak, it has the place of its contact
        found = localize_peaks(
            traces.recording,
            peaks,
            method="center_of_mass",
            method_kwargs=dict(radius_um=RULES.location_radius_um, feature="ptp"),
            job_kwargs=traces.job_kwargs,
        )
    positions = np.column_stack([found["x"], found["y"]]).astype("float32")
    own_contact = traces.locations_um[spikes.channel_index]
    return replace(spikes, positions_um=np.where(np.isfinite(positions), positions, own_contact).astype("float32"))
