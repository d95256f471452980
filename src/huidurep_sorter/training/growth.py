"""A deeper encoder from a shallow one: new layers that change nothing yet."""

from dataclasses import replace

import torch

from huidurep_sorter.encoder.network import EncoderConfig, HuiduRep


def can_grow(model: HuiduRep, config: EncoderConfig) -> bool:
    """Tell whether the configuration is the model's own but for more layers."""
    own = model.config
    return config.n_layers > own.n_layers and replace(config, n_layers=own.n_layers) == own


def grow(model: HuiduRep, n_layers: int) -> HuiduRep:
    """Copy an encoder with more layers, each a copy of the trained one before it whose outputs start at zero.

    A post-norm layer without output only normalises again. The scale and shift of the trained layer's last norm move to
    the last of its new layers, so that normalising again changes nothing. The representation stays the same. Training
    goes on from there instead of from a deep random network, which is slow to start (Gong et al. 2019).

    Parameters
    ----------
    model : HuiduRep
    n_layers : int
        More than the model has. The new layers are spread evenly after its own.

    Returns
    -------
    grown : HuiduRep
        With new memory: the model stays as it is.
    """
    old = model.config.n_layers
    grown = HuiduRep(replace(model.config, n_layers=n_layers))
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("transformer.layers.")}
    grown.load_state_dict(state, strict=False)
    source = [i * old // n_layers for i in range(n_layers)]
    for i, layer in enumerate(grown.transformer.layers):
        layer.load_state_dict(model.transformer.layers[source[i]].state_dict())
        if i and source[i] == source[i - 1]:
            _silence(layer)
            grown.transformer.layers[i - 1].norm2.reset_parameters()
    return grown


@torch.no_grad()
def _silence(layer):
    """Set the output of attention and feed-forward to zero; what the second norm does stays."""
    for linear in (layer.self_attn.out_proj, layer.linear2):
        linear.weight.zero_()
        linear.bias.zero_()
    layer.norm1.reset_parameters()
