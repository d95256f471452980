"""What pretraining adds to the encoder: heads, and a momentum copy (MoCo-v3)."""

import copy

import torch
from torch import nn

from huidurep_sorter.encoder.network import HuiduRep


class ContrastiveModel(nn.Module):
    """The encoder with its projection and prediction heads, and the copies that give the keys."""

    def __init__(self, encoder: HuiduRep):
        super().__init__()
        self.encoder = encoder
        self.projection = _mlp(encoder.config.n_features, 256, 256, 5)
        self.prediction = _mlp(5, 256, 5)
        self.encoder_k = copy.deepcopy(encoder).requires_grad_(False)
        self.projection_k = copy.deepcopy(self.projection).requires_grad_(False)

    def queries(self, features):
        """(n, n_features) -> (n, 5)."""
        return self.prediction(self.projection(features))

    @torch.no_grad()
    def keys(self, snippets, offsets_um):
        """(n, n_samples, n_channels) -> (n, 5), from the momentum copies."""
        return self.projection_k(self.encoder_k(snippets, offsets_um))

    @torch.no_grad()
    def update_momentum(self, momentum=0.99):
        """Move the copies towards the encoder and its projection head."""
        for ours, copies in ((self.encoder, self.encoder_k), (self.projection, self.projection_k)):
            for p, k in zip(ours.parameters(), copies.parameters(), strict=True):
                k.lerp_(p, 1 - momentum)


def _mlp(*widths):
    """Linear layers, each followed by batch norm, with ReLU between them."""
    layers = []
    for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
        layers += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b)]
        if i < len(widths) - 2:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)
