"""The encoder: HuiduRep (arXiv 2507.17224), and relatives of it that differ only by configuration.

Two convolutions over time make tokens of a snippet. A post-norm transformer relates the tokens. A linear layer on their
mean is the representation. A decoder on the tokens of a noisy snippet gives the clean one.
"""

import contextlib
import logging
import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from torch.nn import functional as F

from huidurep_sorter.traces.snippets import Window

logger = logging.getLogger(__name__)

UM_PER_UNIT = 50.0  # um; the unit of the positions that the network sees, which the shipped weights were trained with
BATCH_SIZE_CPU = 256  # snippets; few, since main memory is shared with the sorting
BATCH_SIZE_GPU = 4096  # snippets; many, since each batch costs a transfer; halved where memory runs out


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """An architecture; the defaults are the paper's."""

    n_samples: int = 121  # of a snippet, about 4 ms
    n_before: int = 40  # samples of it before the peak
    sampling_frequency: float = 30000.0  # Hz; snippets are resampled to it
    n_channels: int = 11  # nearest to the peak
    kernels: tuple[int, ...] = (5, 3)  # of the two convolutions, in samples
    strides: tuple[int, ...] = (1, 1)  # their product is the number of samples a token stands for
    d_model: int = 64  # width of a token
    n_heads: int = 4
    d_feedforward: int = 128
    n_layers: int = 16
    n_decoder_layers: int = 2  # 0: no decoder
    n_features: int = 32  # of the representation
    geometry: bool = False  # contact positions relative to the peak are added to the tokens
    unit_length: bool = False  # representations on the unit sphere
    input_scale: float = 1.0  # by which snippets, in units of noise, are multiplied

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernels", tuple(self.kernels))
        object.__setattr__(self, "strides", tuple(self.strides))
        if self.d_model % self.n_heads or self.d_model % 2:
            raise ValueError(f"d_model ({self.d_model}) must be even and a multiple of n_heads ({self.n_heads})")

    @property
    def window(self) -> Window:
        """The snippet that the encoder takes, in time."""
        return Window(n_samples=self.n_samples, n_before=self.n_before, sampling_frequency=self.sampling_frequency)


class HuiduRep(nn.Module):
    """The network: snippets to tokens, tokens to a representation, tokens to a clean snippet."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        d = config.d_model
        (k1, k2), (s1, s2) = config.kernels, config.strides
        self.conv1 = nn.Conv1d(config.n_channels, d, k1, stride=s1, padding=k1 // 2)
        self.conv2 = nn.Conv1d(d, d, k2, stride=s2, padding=k2 // 2)
        self.geometry = (
            nn.Sequential(nn.Linear(3 * config.n_channels, d), nn.ReLU(), nn.Linear(d, d)) if config.geometry else None
        )
        self.register_buffer("positions", sinusoids(-(-config.n_samples // (s1 * s2)), d))
        self.transformer = _transformer(config, config.n_layers)
        self.representation = nn.Linear(d, config.n_features)
        if config.n_decoder_layers:
            self.decoder = _transformer(config, config.n_decoder_layers)
            self.reconstruction = nn.Linear(d, s1 * s2 * config.n_channels)

    def tokens(self, snippets, offsets_um=None):
        """Make tokens of snippets, (n, n_samples, n_channels) -> (n, n_tokens, d_model)."""
        x = self.config.input_scale * snippets.transpose(1, 2)
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = x.transpose(1, 2) + self.positions
        if self.geometry is not None:
            x = x + self.geometry(_describe_geometry(offsets_um, snippets))[:, None]
        return self.transformer(x)

    def represent(self, tokens):
        """Make representations of tokens, (n, n_tokens, d_model) -> (n, n_features)."""
        features = self.representation(tokens.mean(dim=1))
        return F.normalize(features, dim=1) if self.config.unit_length else features

    def reconstruct(self, tokens):
        """Make clean snippets of tokens, (n, n_tokens, d_model) -> (n, n_samples, n_channels), in the input's units."""
        x = self.reconstruction(self.decoder(tokens))
        x = x.reshape(len(x), -1, self.config.n_channels)[:, : self.config.n_samples]
        return x / self.config.input_scale

    def denoise(self, snippets, offsets_um=None):
        """Make clean snippets of snippets, both (n, n_samples, n_channels)."""
        return self.reconstruct(self.tokens(snippets, offsets_um))

    def forward(self, snippets, offsets_um=None):
        """Make representations of snippets, (n, n_samples, n_channels) -> (n, n_features)."""
        return self.represent(self.tokens(snippets, offsets_um))


def sinusoids(n_positions, d_model):
    """Compute the sinusoidal positions of Vaswani et al. (2017), (n_positions, d_model)."""
    position = torch.arange(n_positions)[:, None]
    frequency = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))  # 10000 is theirs
    out = torch.zeros(n_positions, d_model)
    out[:, 0::2] = torch.sin(position * frequency)
    out[:, 1::2] = torch.cos(position * frequency)
    return out


def _transformer(config, n_layers):
    """Build a stack of post-norm layers, without dropout."""
    layer = nn.TransformerEncoderLayer(
        config.d_model, config.n_heads, config.d_feedforward, dropout=0.0, activation="relu", batch_first=True
    )
    return nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)


def _describe_geometry(offsets_um, snippets):
    """Describe where the channels lie: x, y (in UM_PER_UNIT) and presence of each, (n, 3 * n_channels).

    `offsets_um` (n, n_channels, 2) is NaN where there is no channel.
    """
    if offsets_um is None:
        raise ValueError("this encoder uses the probe's geometry: give offsets_um (n, n_channels, 2)")
    present = torch.isfinite(offsets_um[..., :1])
    return torch.cat([torch.nan_to_num(offsets_um) / UM_PER_UNIT, present], dim=2).flatten(1).to(snippets.dtype)


class Encoder:
    """A trained HuiduRep on a device, for arrays.

    Parameters
    ----------
    model : HuiduRep
    device : str or torch.device
    name : str
        What to call it in a log.
    """

    def __init__(self, model: HuiduRep, device: str | torch.device, name: str = "encoder") -> None:
        self.model = model.to(device).eval().requires_grad_(False)
        self.device = torch.device(device)
        self.name = name

    @property
    def config(self) -> EncoderConfig:
        """The architecture, which says what snippets it takes."""
        return self.model.config

    def embed(
        self, snippets: ArrayLike, batch_size: int | None = None, *, offsets_um: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """Represent snippets.

        Parameters
        ----------
        snippets : (n, n_samples, n_channels) float32
            Preprocessed traces, in units of noise, around peaks; see `EncoderConfig` for the window.
        batch_size : int or None, default: None
            Snippets on the device at once; None chooses by device. It is halved where the device runs out of memory.
        offsets_um : (n, n_channels, 2) or (n_channels, 2) float32, optional
            Contact positions relative to the first channel; an encoder with `geometry` needs them. NaN: no channel.

        Returns
        -------
        features : (n, n_features) float32

        Raises
        ------
        ValueError
            If the shape is wrong or a value isn't finite.
        """
        return self._in_batches(self.model, snippets, offsets_um, batch_size, (self.config.n_features,))

    def denoise(
        self, snippets: ArrayLike, batch_size: int | None = None, *, offsets_um: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """Reconstruct the clean spike in each snippet.

        Parameters
        ----------
        snippets, batch_size, offsets_um
            As for `embed`.

        Returns
        -------
        clean : (n, n_samples, n_channels) float32
            In units of noise.

        Raises
        ------
        ValueError
            If the encoder has no decoder, the shape is wrong or a value isn't finite.
        """
        if not self.config.n_decoder_layers:
            raise ValueError(f"{self.name} has no decoder: it can embed, not denoise")

        shape = (self.config.n_samples, self.config.n_channels)
        return self._in_batches(self.model.denoise, snippets, offsets_um, batch_size, shape)

    def _in_batches(self, function, snippets, offsets_um, batch_size, shape):
        """Apply a function of tensors to arrays, a batch at a time; `shape` is that of one result."""
        snippets, offsets_um = self._check(snippets, offsets_um)
        out = np.empty((len(snippets), *shape), dtype="float32")
        batch_size = batch_size or (BATCH_SIZE_CPU if self.device.type == "cpu" else BATCH_SIZE_GPU)
        start = 0
        while start < len(snippets):
            piece = slice(start, start + batch_size)
            try:
                x = torch.from_numpy(snippets[piece]).to(self.device)
                offsets = None if offsets_um is None else torch.from_numpy(offsets_um[piece]).to(self.device)
                with torch.inference_mode():
                    out[piece] = function(x, offsets).float().cpu().numpy()
            except torch.cuda.OutOfMemoryError:  # the same class as torch.OutOfMemoryError, which PyTorch 2.3 lacks
                if batch_size == 1:
                    raise
                batch_size = -(-batch_size // 2)
                logger.warning("%s is out of memory: batches of %d snippets from here on", self.device, batch_size)
                with contextlib.suppress(AttributeError):
                    getattr(torch, self.device.type).empty_cache()
                continue
            start += batch_size
        return out

    def _check(self, snippets, offsets_um):
        """Return snippets and offsets as arrays that fit the network, or raise ValueError."""
        expected = (self.config.n_samples, self.config.n_channels)
        snippets = np.ascontiguousarray(snippets, dtype="float32")
        if snippets.ndim != 3 or snippets.shape[1:] != expected:
            raise ValueError(
                f"snippets have shape {snippets.shape}; this encoder takes (n, {expected[0]}, {expected[1]})"
            )
        if not np.isfinite(snippets).all():
            raise ValueError("snippets hold values that are not finite: look for NaN in the recording")
        if not self.config.geometry:
            return snippets, None
        if offsets_um is None:
            raise ValueError("this encoder uses the probe's geometry: give offsets_um (n, n_channels, 2)")
        offsets_um = np.broadcast_to(np.asarray(offsets_um, dtype="float32"), (len(snippets), expected[1], 2))
        return snippets, offsets_um.copy()
