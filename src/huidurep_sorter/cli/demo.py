"""`huidurep demo`: a small recording with known truth, sorted by name, scored and drawn."""

from pathlib import Path


def add_command(subparsers):
    """Add `demo`."""
    text = "Generate 60 s on 32 channels with known units, sort them, print the accuracy, draw a figure."
    parser = subparsers.add_parser("demo", help="try the sorter, without any data", description=text)
    parser.add_argument("-o", "--output", type=Path, default=Path("huidurep_demo"), help="default: %(default)s")
    parser.add_argument("-v", "--verbose", action="store_true", help="log and progress on stderr")
    parser.set_defaults(run=run)


def run(arguments):
    """Run the demo, print its table, draw its figure, and return the exit code."""
    from huidurep_sorter.benchmark.demo import HIGH_SNR, run_demo
    from huidurep_sorter.benchmark.demo_figure import save_figure

    output = arguments.output
    print("Making a recording with known units (32 channels, 60 s) and sorting it: about a minute ...", flush=True)
    demo = run_demo(output, verbose=arguments.verbose)
    save_figure(demo, output / "demo.png")
    collisions, n_high = demo.collisions, (demo.table["snr"] >= HIGH_SNR).sum()
    print(demo.table.to_string(index=False, float_format="{:.2f}".format))
    print(f"mean accuracy of the {n_high} units with SNR >= {HIGH_SNR:g}: {demo.mean_accuracy:.3f}")
    print(f"both spikes found in {collisions.found.sum()} of {len(collisions.found)} collisions of these units")
    print(f"figure: {output / 'demo.png'}")
    print(f"sorting: {output / 'sorting'} (open it with spikeinterface.sorters.read_sorter_folder)")
    return 0
