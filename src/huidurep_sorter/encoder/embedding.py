"""From peaks to features: the encoder's representation of every spike of a recording."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from spikeinterface.core import BaseRecording
from tqdm.auto import tqdm

from huidurep_sorter.encoder.checkpoints import load_encoder
from huidurep_sorter.encoder.network import Encoder
from huidurep_sorter.traces.preprocessing import preprocess as preprocess_recording
from huidurep_sorter.traces.snippets import find_neighbourhoods, iterate_snippets


def embed_spikes(
    recording: BaseRecording,
    peaks: NDArray[np.void],
    weights: str | Path | Encoder | None = None,
    device: str | torch.device = "auto",
    *,
    preprocess: bool = True,
    batch_size: int | None = None,
    verbose: bool = False,
) -> NDArray[np.float32]:
    """Represent spikes by the pretrained encoder.

    Parameters
    ----------
    recording : BaseRecording
        With a probe; any geometry, number of channels and sampling frequency.
    peaks : structured array (n,)
        SpikeInterface's peak vector: `sample_index`, `channel_index`, `segment_index`. In any order.
    weights : str, Path, Encoder or None, default: None
        As in `load_encoder`.
    device : str or torch.device, default: "auto"
        As in `load_encoder`. An `Encoder` stays on the device that it is on.
    preprocess : bool, default: True
        Preprocess the recording as the encoder expects. False for one that already is preprocessed.
    batch_size : int or None, default: None
        As in `Encoder.embed`.
    verbose : bool, default: False
        Show a progress bar.

    Returns
    -------
    features : (n, n_features) float32, in the order of `peaks`

    Raises
    ------
    ValueError
        If the peaks lack a field, or lie outside of the recording.
    """
    check_peaks(recording, peaks)
    encoder = weights if isinstance(weights, Encoder) else load_encoder(weights, device)
    recording = preprocess_recording(recording) if preprocess else recording
    neighbourhoods = find_neighbourhoods(recording, encoder.config.n_channels)
    features = np.empty((len(peaks), encoder.config.n_features), dtype="float32")
    with tqdm(total=len(peaks), desc="embed spikes", disable=not verbose) as bar:
        for indices, snippets in iterate_snippets(recording, peaks, encoder.config.window, neighbourhoods):
            offsets_um = neighbourhoods.offsets_um[peaks["channel_index"][indices]]
            features[indices] = encoder.embed(snippets, batch_size, offsets_um=offsets_um)
            bar.update(len(indices))
    return features


def check_peaks(recording: BaseRecording, peaks: NDArray[np.void]) -> None:
    """Raise ValueError where peaks don't belong to the recording."""
    missing = [f for f in ("sample_index", "channel_index", "segment_index") if f not in (peaks.dtype.names or ())]
    if missing:
        raise ValueError(f"peaks lack {missing}: they must be SpikeInterface's peak vector, as detect_peaks gives it")
    if len(peaks) == 0:
        return
    if not recording.has_probe():
        raise ValueError("the recording has no probe: set one with recording.set_probe(...)")
    limits = {"channel_index": recording.get_num_channels(), "segment_index": recording.get_num_segments()}
    for name, limit in limits.items():
        if peaks[name].min() < 0 or peaks[name].max() >= limit:
            raise ValueError(
                f"peaks' {name} must lie in 0 to {limit - 1}, not {peaks[name].min()} to {peaks[name].max()}"
            )
    ends = np.array([recording.get_num_samples(s) for s in range(recording.get_num_segments())])
    if peaks["sample_index"].min() < 0 or (peaks["sample_index"] >= ends[peaks["segment_index"]]).any():
        raise ValueError("peaks' sample_index reaches beyond the recording")
