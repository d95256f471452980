"""Draw `docs/demo.png` anew, and write what it shows to `docs/demo.json`: `python examples/demo_picture.py`.

The picture is that of `huidurep demo`. It is drawn anew when the default weights or the figure change. A test compares
the weights and the picture with what `docs/demo.json` says of them.
"""

import json
import sys
import tempfile
from pathlib import Path

from huidurep_sorter.__about__ import __version__
from huidurep_sorter.benchmark.circumstances import default_weights_sha256
from huidurep_sorter.benchmark.demo import Demo, run_demo
from huidurep_sorter.benchmark.demo_figure import save_figure

DOCS = Path(__file__).parents[1] / "docs"
SEED = 0  # of the generated recording, as in `huidurep demo`


def describe(demo: Demo, picture) -> dict:
    """Say what a picture was made with, and what it shows."""
    return dict(
        huidurep_sorter=__version__,
        weights_sha256=default_weights_sha256(),
        seed=SEED,
        n_true_units=len(demo.truth.unit_ids),
        n_units=len(demo.sorting.unit_ids),
        mean_accuracy_of_high_snr=round(float(demo.mean_accuracy), 4),
        n_collisions=len(demo.collisions.found),
        n_collisions_found=int(demo.collisions.found.sum()),
        picture_bytes=picture.stat().st_size,
    )


def main(docs=DOCS):
    """Run the demo in a temporary folder, and replace the picture and its description."""
    with tempfile.TemporaryDirectory() as folder:
        demo = run_demo(folder, seed=SEED)
        save_figure(demo, docs / "demo.png")
    told = json.dumps(describe(demo, docs / "demo.png"), indent=4)
    (docs / "demo.json").write_text(told + "\n", encoding="utf8")
    print(told)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
