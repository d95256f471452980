"""The network that training starts from: shipped weights or a file, the mean of several, grown where that is asked."""

import copy
from pathlib import Path

import torch

from huidurep_sorter.encoder.checkpoints import load_encoder
from huidurep_sorter.encoder.network import EncoderConfig, HuiduRep
from huidurep_sorter.training.growth import can_grow, grow


def initial_encoder(init, config: EncoderConfig) -> HuiduRep | None:
    """Load the weights that `init` names, ready to be trained; None where it names none.

    Parameters
    ----------
    init : str, Path, list of these or None
        As in `pretrain`.
    config : EncoderConfig
        Weights grow to it where it is their own architecture with more layers; it has no other effect.

    Raises
    ------
    ValueError
        If the weights to average are not of one architecture.
    """
    if init is None:
        return None
    names = [init] if isinstance(init, (str, Path)) else init
    model = average([load_encoder(name, "cpu") for name in names])
    if can_grow(model, config):
        model = grow(model, config.n_layers)
    return model.requires_grad_(True)


@torch.no_grad()
def average(encoders) -> HuiduRep:
    """Average the weights of runs that started from the same ones (Wortsman et al. 2022, arXiv 2203.05482).

    Raises
    ------
    ValueError
        If their architectures differ.
    """
    first = encoders[0]
    for other in encoders[1:]:
        if other.config != first.config:
            raise ValueError(f"{other.name} and {first.name} can't be averaged: their architectures differ")
    mean = copy.deepcopy(first.model)
    states = [encoder.model.state_dict() for encoder in encoders]
    mean.load_state_dict({name: torch.stack([s[name] for s in states]).mean(dim=0) for name in states[0]})
    return mean
