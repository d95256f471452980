"""Encoders on disk: our safetensors with their configuration inside, and the authors' `HuiduRep.pt`."""

import hashlib
import json
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from huidurep_sorter.encoder.checks import check_file_size, check_shapes, check_values, read_config
from huidurep_sorter.encoder.network import Encoder, HuiduRep, sinusoids

DEFAULT_WEIGHTS = "fast"  # on every device: `base` is slower and, so far, not as good (see its card)


def find_weights_folder() -> Path:
    """Find the folder of the shipped weights; nothing is downloaded.

    A wheel carries the folder inside the package. A checkout, which an editable install reads, has it at the top of
    the repository.
    """
    package = Path(__file__).parents[1]
    inside = package / "weights"
    return inside if (inside / f"{DEFAULT_WEIGHTS}.safetensors").is_file() else package.parents[1] / "weights"


WEIGHTS_FOLDER = find_weights_folder()


def load_encoder(weights: str | Path | None = None, device: str | torch.device = "auto") -> Encoder:
    """Load a pretrained encoder.

    Parameters
    ----------
    weights : str, Path or None, default: None
        The name of shipped weights ("fast", "base"), or a file. The file is our `.safetensors`, or a PyTorch state dict
        of the HuiduRep authors (`.pt`, `.pth`). None and "auto" stand for "fast", the best of the shipped weights.
    device : str or torch.device, default: "auto"
        "auto" | "cpu" | "cuda" | "cuda:1" | "mps"; "auto" takes a GPU where there is one.

    Returns
    -------
    encoder : Encoder
        On the device, ready to embed.

    Raises
    ------
    FileNotFoundError
        If there are no such weights.
    ValueError
        If the file is no encoder, or the device isn't there.
    """
    device = choose_device(device)
    path = find_weights(weights)
    model = _load_safetensors(path) if path.suffix == ".safetensors" else _load_authors(path)
    return Encoder(model, device, name=path.stem)


def save_encoder(model: HuiduRep, path: str | Path, **metadata: str) -> None:
    """Write weights, configuration and any further text as safetensors, whole or not at all.

    Parameters
    ----------
    model : HuiduRep
    path : str or Path
        The file, whose name ends in `.safetensors`.
    **metadata : str
        Further text by name, such as the configuration of the training.
    """
    path = Path(path)
    partial = path.with_suffix(".partial")
    metadata = {"format": "huidurep-sorter 1", "config": json.dumps(asdict(model.config)), **metadata}
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    partial.write_bytes(save(state, metadata))
    partial.replace(path)


def shipped_weights() -> list[str]:
    """List the names of the shipped weights."""
    return sorted(p.stem for p in WEIGHTS_FOLDER.glob("*.safetensors"))


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """Return the torch device of that name, checked to be there; "auto" prefers cuda, then mps.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == "auto":
        return torch.device("cuda" if cuda else "mps" if mps else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"torch_device {device!r} isn't one of auto, cpu, cuda, cuda:1, mps") from None
    missing = {"cuda": not cuda or (chosen.index or 0) >= torch.cuda.device_count(), "mps": not mps}
    if missing.get(chosen.type, False):
        raise ValueError(
            f"torch_device {device!r} isn't there: PyTorch sees {'cuda' if cuda else 'mps' if mps else 'only the cpu'}"
        )
    return chosen


def find_weights(weights: str | Path | None = None) -> Path:
    """Find the file of some weights, named as in `load_encoder`."""
    if weights is None or str(weights) == "auto":
        weights = DEFAULT_WEIGHTS
    try:
        shipped = WEIGHTS_FOLDER / f"{weights}.safetensors"
        path = shipped if shipped.exists() else Path(weights)
        is_file = path.is_file()
    except OSError as error:  # such as a name that is too long
        raise ValueError(f"weights: {error.strerror}: {str(weights)[:60]}...") from None
    if not is_file:
        raise FileNotFoundError(f"no weights {str(weights)!r}: give a file, or one of the shipped {shipped_weights()}")
    return path


def _load_safetensors(path):
    """Read the network from a file of ours, which holds its configuration too; refuse it before anything is built."""
    try:
        with _says_that_it_does_not_fit(path), safe_open(path, framework="pt") as f:
            check_file_size(path.stat().st_size)
            metadata = f.metadata() or {}
            if "config" not in metadata:
                raise ValueError("it holds no encoder configuration, as files that huidurep-sorter writes do")
            config = read_config(json.loads(metadata["config"]))
            check_shapes(config, {key: tuple(f.get_slice(key).get_shape()) for key in f.keys()})
            return _build(config, {key: f.get_tensor(key) for key in f.keys()})
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from None


@contextmanager
def _says_that_it_does_not_fit(path):
    """Let every error about what a file holds name the file."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: its weights and its configuration don't fit this version: {error}") from None


def _build(config, state):
    """Build the network of tensors whose shapes were checked."""
    check_values(state)
    model = HuiduRep(config)
    model.load_state_dict(state)
    return model


def _load_authors(path):
    """Read the published architecture from the authors' state dict; what only training needs is left out."""
    with _says_that_it_does_not_fit(path):
        check_file_size(path.stat().st_size)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for what isn't a plain file of tensors
        raise ValueError(f"{path} can't be read as a file of tensors only: {error}") from None
    state = _unwrap(state, path)
    with _says_that_it_does_not_fit(path):
        config = _config_of_authors(state)
        renamed = {_our_name(k): v for k, v in state.items() if _our_name(k)}
        check_file_size(sum(tensor.numel() * tensor.element_size() for tensor in renamed.values()))
        pe = state.get("encoder_q.positional_encoding.pe")
        if pe is None:
            renamed["positions"] = sinusoids(config.n_samples, config.d_model)
        else:
            renamed["positions"] = pe.reshape(-1, config.d_model)[: config.n_samples]
        check_shapes(config, {name: tuple(tensor.shape) for name, tensor in renamed.items()})
        return _build(config, renamed)


def _config_of_authors(state):
    """Tell the configuration from the shapes of the authors' tensors."""
    layers = {int(k.split(".")[3]) for k in state if k.startswith("encoder_q.transformer.layers.")}
    d_model, n_channels, _ = state["conv_embedding.block.0.weight"].shape
    return read_config(
        dict(
            n_channels=n_channels,
            d_model=d_model,
            d_feedforward=len(state["encoder_q.transformer.layers.0.linear1.weight"]),
            kernels=tuple(state[f"conv_embedding.block.{i}.weight"].shape[2] for i in (0, 2)),
            n_layers=len(layers),
            n_features=len(state["reduce_q.projection.0.weight"]),
            n_decoder_layers=0,
        )
    )


def _unwrap(state, path):
    """Take the state dict out of what training scripts wrap around it, and check that it is a HuiduRep."""
    for wrapper in ("state_dict", "model_state_dict"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}, not a state dict")
    state = {str(k).removeprefix("module."): v for k, v in state.items()}
    needed = (
        "conv_embedding.block.0.weight",
        "encoder_q.transformer.layers.0.linear1.weight",
        "reduce_q.projection.0.weight",
    )
    absent = [name for name in needed if name not in state]
    if absent:
        raise ValueError(f"{path} isn't a HuiduRep checkpoint: it lacks {absent}")
    return state


def _our_name(theirs):
    """Give our name of one of the authors' tensors, None for those of training."""
    for prefix, ours in (
        ("conv_embedding.block.0.", "conv1."),
        ("conv_embedding.block.2.", "conv2."),
        ("encoder_q.transformer.layers.", "transformer.layers."),
        ("reduce_q.projection.0.", "representation."),
    ):
        if theirs.startswith(prefix):
            return ours + theirs.removeprefix(prefix)
    return None


def sha256(path) -> str:
    """Compute the digest of a file of weights, as hexadecimal digits."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
