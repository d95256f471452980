"""Small networks that weigh evidence: whether two groups of spikes, or all of one unit, are one neuron's."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from huidurep_sorter.encoder.checkpoints import WEIGHTS_FOLDER

FOLDER = WEIGHTS_FOLDER / "decisions"
DEFAULT = "huidurep"  # also for features that have no networks of their own
LARGEST = 5.0  # standard deviations; evidence that is farther from the mean than training saw says nothing more


@dataclass(frozen=True, kw_only=True)
class SmallNetworks:
    """Some networks of one architecture, whose mean logit decides.

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
        """Give probabilities, (n, n_answers), from evidence (n, n_evidence)."""
        x = self.standardize(values)[None]
        for depth, (weight, bias) in enumerate(self.layers):
            x = x @ weight.transpose(0, 2, 1) + bias[:, None]
            if depth + 1 < len(self.layers):
                x = np.maximum(x, 0)
        return 1 / (1 + np.exp(-x.mean(axis=0)))


def load_networks(question, features, folder=FOLDER) -> SmallNetworks:
    """Load the networks of a question that were trained with some features, or with the encoder's where there are none.

    Parameters
    ----------
    question : "same_neuron" | "single_unit"
    features : str
        As in `SortingParameters`.
    folder : Path, optional
    """
    path = folder / file_name(question, features)
    path = path if path.exists() else folder / file_name(question, DEFAULT)
    with safe_open(path, "numpy") as f:
        tensors = {key: f.get_tensor(key).astype("float64") for key in f.keys()}
        names = tuple(json.loads(f.metadata()["description"])["evidence"])
    n_layers = sum(key.startswith("weight") for key in tensors)
    layers = [(tensors[f"weight{k}"], tensors[f"bias{k}"]) for k in range(n_layers)]
    return SmallNetworks(names=names, mean=tensors["mean"], scale=tensors["scale"], layers=layers)


def file_name(question, features):
    """Name the file of the networks of a question, and of some features."""
    return f"{question}_{features}.safetensors"


def save_networks(networks, path, **metadata):
    """Write networks, and further text by name, whole or not at all."""
    path = Path(path)
    tensors = dict(mean=networks.mean, scale=networks.scale)
    for k, (weight, bias) in enumerate(networks.layers):
        tensors |= {f"weight{k}": weight, f"bias{k}": bias}
    tensors = {name: np.ascontiguousarray(values, dtype="float32") for name, values in tensors.items()}
    partial = path.with_suffix(".partial")
    description = json.dumps(dict(evidence=networks.names, **metadata))  # one text, so that a run gives the same file
    partial.write_bytes(save(tensors, dict(description=description)))
    partial.replace(path)
