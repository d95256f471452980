"""What is known of each spike before clustering: its features (encoder or SVD) and its position."""

import numpy as np

N_SVD_CHANNELS = 11  # as many as the encoder sees
N_SVD_COMPONENTS = 5
SVD_WINDOW_MS = (0.5, 1.5)


def represent_spikes(recording, peaks, parameters, job_kwargs=None, verbose=False):
    """Features of each peak, by the encoder or by SVD.

    Parameters
    ----------
    recording : BaseRecording
        Preprocessed traces.
    peaks : structured array (n_peaks,)
    parameters : SortingParameters
        `features`, `weights`, `torch_device`, `batch_size` and `seed` are used.
    job_kwargs : dict, optional
    verbose : bool, default: False

    Returns
    -------
    features : (n_peaks, n_features) float32
    """
    if parameters.features == "svd":
        return svd_features(recording, peaks, parameters.seed, job_kwargs)
    from huidurep_sorter.encoder.embedding import embed_spikes

    return embed_spikes(
        recording,
        peaks,
        weights=parameters.weights,
        device=parameters.torch_device,
        preprocess=False,
        batch_size=parameters.batch_size,
        verbose=verbose,
    )


def svd_features(recording, peaks, seed=0, job_kwargs=None):
    """SpikeInterface's SVD over time of each of the nearest channels, (n_peaks, components * channels) float32.

    The channels are in the order of the probe, so features of peaks on different channels don't compare.
    """
    from spikeinterface.sortingcomponents.waveforms.peak_svd import extract_peaks_svd

    from huidurep_sorter.traces.snippets import find_neighbourhoods

    neighbours = find_neighbourhoods(recording, N_SVD_CHANNELS).channel_indices
    mask = np.zeros((len(neighbours), len(neighbours)), dtype=bool)
    for channel, indices in enumerate(neighbours):
        mask[channel, indices[indices >= 0]] = True
    features, _, _ = extract_peaks_svd(
        recording,
        peaks,
        ms_before=SVD_WINDOW_MS[0],
        ms_after=SVD_WINDOW_MS[1],
        n_components=N_SVD_COMPONENTS,
        sparsity_mask=mask,
        seed=seed,
        job_kwargs=job_kwargs or {},
    )
    return features.reshape(len(peaks), -1).astype("float32")


def locate_spikes(recording, peaks, job_kwargs=None):
    """Position of each peak in the plane of the probe, (n_peaks, 2) float32 in um: centre of mass of amplitudes."""
    from spikeinterface.sortingcomponents.peak_localization import localize_peaks

    found = localize_peaks(
        recording,
        peaks,
        method="center_of_mass",
        method_kwargs=dict(radius_um=75.0, feature="ptp"),
        job_kwargs=job_kwargs or {},
    )
    positions = np.column_stack([found["x"], found["y"]]).astype("float32")
    own_contact = recording.get_channel_locations()[peaks["channel_index"], :2]
    return np.where(np.isfinite(positions), positions, own_contact).astype("float32")
