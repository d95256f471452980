"""The configuration of a pretraining run, read from YAML or JSON."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from huidurep_sorter.encoder.network import EncoderConfig
from huidurep_sorter.training.simulation import SimulationConfig
from huidurep_sorter.training.views import BatchConfig, ViewConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What to train on: a folder of recordings, files of footprints, or both."""

    recordings: str | None = None  # a folder of recordings that SpikeInterface loads
    # Sort the recordings, train on their units in most of the time, and score before and after on the rest. The result
    # is kept only where it is better.
    sort: bool = False
    use_sorting: bool = False  # trust the units of NAME/sorting as neurons
    footprints: dict[str, int] = field(default_factory=dict)  # files, and how many times each one counts
    validation_recordings: int = 4  # simulated with another seed, or set aside


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The losses, the optimizer and how often a run reports.

    The loss is same_neuron_weight * supervised contrast + centroid_weight * contrast with centroids
    + contrast_weight * InfoNCE + alpha * reconstruction + distillation_weight * distance from the teacher.
    """

    n_steps: int = 6000
    learning_rate: float = 1e-3  # the largest, after warm-up
    warmup_steps: int = 200  # the learning rate rises linearly, since Adam's first steps are rough
    weight_decay: float = 0.01  # PyTorch's default for AdamW
    clip_norm: float = 1.0  # largest norm of the gradient: one odd batch must not undo many
    same_neuron_weight: float = 1.0
    same_neuron_temperature: float = 0.1  # that of Khosla et al. (2020)
    centroid_weight: float = 0.0
    centroid_temperature: float = 0.05  # better than 0.1 on other recordings (encoder-46)
    contrast_weight: float = 0.0
    contrast_temperature: float = 0.2  # that of MoCo-v3
    momentum: float = 0.99  # share of the momentum copies that a step keeps, as in MoCo-v3
    alpha: float = 0.3  # weight of the mean squared error of the denoised snippet
    teacher: str | None = None  # weights, as in `load_encoder`
    distillation_weight: float = 0.0
    # The result is a mean of the trained weights and those that training started from, of which this is the share. What
    # two runs learned of different neurons carries over better to others (Wortsman et al. 2022, arXiv 2109.01903).
    init_share: float = 0.0
    log_every: int = 20  # steps; cheap beside the steps themselves
    validate_every: int = 500  # steps; a validation is much slower than a step
    checkpoint_every: int = 250  # steps that an interruption costs at most

    def __post_init__(self):
        if (self.teacher is None) != (self.distillation_weight == 0):
            raise ValueError("distillation takes both: the name of a teacher, and a distillation_weight above 0")
        if not 0 <= self.init_share < 1:
            raise ValueError(f"init_share must be at least 0 and below 1, not {self.init_share}")


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """All that a pretraining run depends on, but the weights that it starts from."""

    seed: int = 0
    name: str = "encoder"  # of the file of weights
    data: DataConfig = DataConfig()
    encoder: EncoderConfig = EncoderConfig()
    simulation: SimulationConfig = SimulationConfig()
    batch: BatchConfig = BatchConfig()
    view: ViewConfig = ViewConfig()
    training: TrainingConfig = TrainingConfig()


def read_config(path: str | Path) -> PretrainingConfig:
    """Read a YAML or JSON file; what it doesn't name keeps its default.

    Raises
    ------
    OSError
        If the file can't be read.
    ValueError
        If it names something unknown, or a value can't be used.
    """
    return build(PretrainingConfig, read_values(path), str(path))


def read_values(path: str | Path):
    """Read a YAML or JSON file; an empty one names nothing."""
    with open(Path(path)) as f:
        return yaml.safe_load(f) or {}


def build(cls, values, where):
    """Build a configuration from nested dictionaries; `where` begins the message of an error."""
    known = {f.name: f for f in dataclasses.fields(cls)}
    if not isinstance(values, dict) or set(values) - set(known):
        wrong = sorted(set(values) - set(known)) if isinstance(values, dict) else values
        raise ValueError(f"{where}: {wrong} isn't known; there are {sorted(known)}")
    built = {}
    for name, value in values.items():
        default = known[name].default
        if dataclasses.is_dataclass(default):
            value = build(type(default), value, f"{where}, {name}")
        elif isinstance(default, tuple):
            value = _as_tuple(value, f"{where}, {name}")
        elif isinstance(default, bool | int | float | str):
            value = _as_type(value, type(default), f"{where}, {name}")
        built[name] = value
    try:
        return cls(**built)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from None


def _as_tuple(value, where):
    """Turn a list into a tuple, and refuse what is none."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{where} must be a list, not {value!r}")
    return tuple(value)


def _as_type(value, kind, where):
    """Turn a number into the kind of number that is asked for ("2e-4" is a text to YAML), and refuse other types."""
    try:
        if kind in (int, float) and not isinstance(value, bool) and kind(value) == float(value):
            return kind(value)
    except (TypeError, ValueError):
        pass
    if type(value) is kind and kind not in (int, float):
        return value
    raise ValueError(f"{where} must be of type {kind.__name__}, not {value!r}")
