"""Every parameter of the sorter: one flat table of name, default, description, and the checks on its value."""

from dataclasses import dataclass, field, fields

FEATURES = ("huidurep", "svd")
CLUSTERING_METHODS = ("isosplit", "hdbscan", "gmm")
DETECTION_METHODS = ("matched_filtering", "locally_exclusive")
MATCHING_METHODS = ("wobble", "tdc-peeler", "circus-omp")
PEAK_SIGNS = ("neg", "pos", "both")
CACHE_MODES = ("auto", "memory", "folder", "zarr", "no-cache")
MOTION_CHOICES = ("auto", True, False)


def _parameter(default, description):
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True, kw_only=True)
class SortingParameters:
    """What a user may choose; see `descriptions()` for the meaning of each."""

    apply_preprocessing: bool = _parameter(
        True, "Band-pass, reference and whiten; False for a recording that already is, in units of noise"
    )
    freq_min: float = _parameter(150.0, "Low edge of the pass band, in Hz")
    freq_max: float = _parameter(7000.0, "High edge of the pass band, in Hz")
    whitening_radius_um: float = _parameter(100.0, "Each channel is whitened with the channels within this distance")
    apply_motion_correction: object = _parameter(
        "auto", "Correct motion: True, False, or 'auto' to measure it and correct where it is there and can be"
    )
    cache_preprocessing_mode: str = _parameter(
        "auto", "Where preprocessed traces are kept: auto | memory | folder | zarr | no-cache"
    )
    peak_sign: str = _parameter("neg", "Sign of the peaks: neg | pos | both")
    detection_method: str = _parameter("matched_filtering", "matched_filtering | locally_exclusive")
    detect_threshold: float = _parameter(5.0, "Detection threshold, in units of noise")
    detection_radius_um: float = _parameter(50.0, "One peak at a time within this distance")
    n_peaks_per_channel: int = _parameter(1500, "At most this many peaks per channel are represented and clustered")
    features: str = _parameter("huidurep", "Representation of spikes: huidurep (the encoder) | svd (per-channel SVD)")
    weights: object = _parameter(None, "Encoder weights: a name of shipped weights, a file, or None for the default")
    torch_device: str = _parameter("auto", "Where the encoder runs: auto | cpu | cuda | cuda:1 | mps")
    batch_size: object = _parameter(None, "Snippets on the device at once; None chooses by device")
    clustering_method: str = _parameter("isosplit", "isosplit | hdbscan | gmm (Gaussian mixture, K by BIC)")
    min_cluster_size: int = _parameter(20, "Fewest peaks in a cluster")
    merge_max_difference: float = _parameter(
        0.4, "Clusters are one unit if their templates differ by less than this fraction of their norm"
    )
    ms_before: float = _parameter(0.8, "Milliseconds of a template before its peak")
    ms_after: float = _parameter(1.4, "Milliseconds of a template after its peak")
    template_radius_um: float = _parameter(100.0, "Channels of a template: those within this distance of its unit")
    template_min_snr: float = _parameter(2.5, "Templates with a smaller peak-to-peak amplitude (in noise) are dropped")
    matching_method: str = _parameter("wobble", "Template matching: wobble | tdc-peeler | circus-omp")
    join_fragments: bool = _parameter(
        True, "Join units that drift took apart: activity in turns, one refractory period, alike where one hands over"
    )
    min_template_norm: float = _parameter(
        8.0,
        "Units whose template has a smaller norm over time and channels, in units of noise, are dropped; "
        "those under 10 stay only if they are distinct",
    )
    min_confidence: float = _parameter(
        0.45,
        "Units are dropped if, of the spikes that are most alike by features, fewer than this fraction are their own",
    )
    min_firing_rate: float = _parameter(0.1, "Units that fire less, in Hz, are dropped")
    seed: int = _parameter(0, "Same seed, same spikes")
    save_array: bool = _parameter(False, "Save peaks, features, labels and templates in the output folder")
    debug: bool = _parameter(False, "As save_array, and keep every intermediate result")

    @classmethod
    def defaults(cls) -> dict:
        """Name to default value."""
        return {f.name: f.default for f in fields(cls)}

    @classmethod
    def descriptions(cls) -> dict:
        """Name to description."""
        return {f.name: f.metadata["description"] for f in fields(cls)}

    @classmethod
    def from_dict(cls, parameters: dict) -> "SortingParameters":
        """Build from a dict and check.

        Raises
        ------
        ValueError
            If a name is unknown or a value isn't allowed.
        """
        unknown = sorted(set(parameters) - set(cls.defaults()))
        if unknown:
            raise ValueError(f"unknown parameter {unknown[0]!r}; the parameters are {sorted(cls.defaults())}")
        built = cls(**parameters)
        built.check()
        return built

    def check(self):
        """Raise ValueError, naming the parameter, for a value that isn't allowed."""
        for name, allowed in _CHOICES.items():
            if not any(getattr(self, name) is a or getattr(self, name) == a for a in allowed):
                raise ValueError(f"{name} must be one of {list(allowed)}, not {getattr(self, name)!r}")
        for name in _BOOLEANS:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False, not {getattr(self, name)!r}")
        for name in _POSITIVE:
            _check_number(name, getattr(self, name), above_zero=True)
        for name in _NOT_NEGATIVE:
            _check_number(name, getattr(self, name), above_zero=False)
        for name in _INTEGERS:
            if int(getattr(self, name)) != getattr(self, name):
                raise ValueError(f"{name} must be an integer, not {getattr(self, name)!r}")
        if self.freq_min >= self.freq_max:
            raise ValueError(f"freq_min ({self.freq_min:g}) must be below freq_max ({self.freq_max:g})")
        if self.batch_size is not None:
            _check_number("batch_size", self.batch_size, above_zero=True)


_CHOICES = {
    "apply_motion_correction": MOTION_CHOICES,
    "cache_preprocessing_mode": CACHE_MODES,
    "peak_sign": PEAK_SIGNS,
    "detection_method": DETECTION_METHODS,
    "features": FEATURES,
    "clustering_method": CLUSTERING_METHODS,
    "matching_method": MATCHING_METHODS,
}
_BOOLEANS = ("apply_preprocessing", "join_fragments", "save_array", "debug")
_POSITIVE = (
    "freq_min",
    "freq_max",
    "whitening_radius_um",
    "detect_threshold",
    "n_peaks_per_channel",
    "min_cluster_size",
    "ms_before",
    "ms_after",
    "template_radius_um",
)
_NOT_NEGATIVE = (
    "detection_radius_um",
    "merge_max_difference",
    "template_min_snr",
    "min_template_norm",
    "min_confidence",
    "min_firing_rate",
    "seed",
)
_INTEGERS = ("n_peaks_per_channel", "min_cluster_size", "seed")


def _check_number(name, value, above_zero):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or value != value or value < 0 or (above_zero and value == 0):
        raise ValueError(f"{name} must be a number {'above' if above_zero else 'of at least'} 0, not {value!r}")
