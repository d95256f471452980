"""The network that says how probable it is that two groups of spikes are one neuron's."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from huidurep_sorter.encoder.checkpoints import WEIGHTS_FOLDER

FOLDER = WEIGHTS_FOLDER / "same_neuron"
DEFAULT = "huidurep"  # also for features that have no network of their own
LARGEST = 5.0  # standard deviations; evidence that is farther from the mean than training saw says nothing more


@dataclass(frozen=True, kw_only=True)
class SameNeuron:
    """Some small networks of one architecture, whose mean logit decides.

    Attributes
    ----------
    names : tuple of str
        Of the evidence, in its order.
    mean, scale : (n_evidence,) float64
    layers : list of (weight, bias)
        (n_networks, n_out, n_in) and (n_networks, n_out) float64.
    """

    names: tuple
    mean: np.ndarray
    scale: np.ndarray
    layers: list

    def standardize(self, values):
        """Put evidence on the scale that the networks see."""
        return np.clip((np.asarray(values) - self.mean) / self.scale, -LARGEST, LARGEST)

    def probability(self, values):
        """Give the probability that pairs are one neuron, (n_pairs,), from their evidence (n_pairs, n_evidence)."""
        x = self.standardize(values)[None]
        for depth, (weight, bias) in enumerate(self.layers):
            x = x @ weight.transpose(0, 2, 1) + bias[:, None]
            if depth + 1 < len(self.layers):
                x = np.maximum(x, 0)
        return 1 / (1 + np.exp(-x[..., 0].mean(axis=0)))


def load_same_neuron(features, folder=FOLDER) -> SameNeuron:
    """Load the network that was trained with features of this name, or with the encoder's where there is none."""
    path = folder / f"{features}.safetensors"
    path = path if path.exists() else folder / f"{DEFAULT}.safetensors"
    with safe_open(path, "numpy") as f:
        tensors = {key: f.get_tensor(key).astype("float64") for key in f.keys()}
        names = tuple(json.loads(f.metadata()["description"])["evidence"])
    n_layers = sum(key.startswith("weight") for key in tensors)
    layers = [(tensors[f"weight{k}"], tensors[f"bias{k}"]) for k in range(n_layers)]
    return SameNeuron(names=names, mean=tensors["mean"], scale=tensors["scale"], layers=layers)


def save_same_neuron(network, path, **metadata):
    """Write a network, and further text by name, whole or not at all."""
    path = Path(path)
    tensors = dict(mean=network.mean, scale=network.scale)
    for k, (weight, bias) in enumerate(network.layers):
        tensors |= {f"weight{k}": weight, f"bias{k}": bias}
    tensors = {name: np.ascontiguousarray(values, dtype="float32") for name, values in tensors.items()}
    partial = path.with_suffix(".partial")
    description = json.dumps(dict(evidence=network.names, **metadata))  # one text, so that a run gives the same file
    partial.write_bytes(save(tensors, dict(description=description)))
    partial.replace(path)
