"""The command line: `kit list`, `kit run`, `kit show`, `kit fetch`, `kit predict`."""

import argparse
import contextlib
import multiprocessing
import os
import sys
import warnings
from concurrent import futures
from pathlib import Path

from . import machine


def main(arguments=None):
    """Run one command; returns the exit status: 0, 1 when something could not be done, 2 for bad arguments."""
    options = parser().parse_args(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print(f"kit: warning: {message}", file=sys.stderr)
        try:
            return options.command(options) or 0
        except (ValueError, KeyError) as error:
            status, said = 2, error.args[0] if error.args else error
        except futures.BrokenExecutor:
            status, said = 1, "a process was killed, for want of memory perhaps; run again with fewer --jobs to go on"
        except (OSError, ImportError) as error:
            status, said = 1, error
    print(f"kit: {said}", file=sys.stderr)
    return status


class OneLineParser(argparse.ArgumentParser):
    """argparse without the usage text before an error: one line, exit status 2."""

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser():
    top = OneLineParser(prog="kit", description="Reproduce five deep-learning course reports.")
    commands = top.add_subparsers(metavar="COMMAND", required=True)

    def command(name, function, about, example):
        sub = commands.add_parser(name, help=about, description=about, epilog=f"example: {example}")
        sub.set_defaults(command=function)
        return sub

    command("list", list_names, "List the studies with their numbers of rows, and the searches.", "kit list")

    run = command(
        "run", run_named,
        "Train the nets of a study, or run a search and evaluate its best net, and print the table; a killed run goes "
        "on where it stopped.",
        'kit run fashion-ladder-mlp --only "small 64*" --seeds 3 --source synthetic',
    )  # fmt: skip
    run.add_argument("name", metavar="STUDY", help="a name that `kit list` shows")
    run.add_argument(
        "--only", action="append", metavar="NAME", help='one row, or a pattern such as "small 64*"; repeatable'
    )
    run.add_argument(
        "--source", metavar="SOURCE", help="real, or synthetic for the stand-in (default: $KIT_SOURCE, else real)"
    )
    run.add_argument(
        "--seeds", type=at_least_one, default=1, metavar="N", help="fits a row, with the seeds 0 to N-1 (default: 1)"
    )
    run.add_argument(
        "--jobs", type=at_least_one, default=1, metavar="N", help="fits at a time, a thread each (default: 1)"
    )
    run.add_argument(
        "--quick", action="store_true", help="few epochs and images, to see that it runs (KIT_PROFILE=quick)"
    )
    run.add_argument("--figures", metavar="FOLDER", help="also write the figures there, as PNG")
    run.add_argument(
        "--record", metavar="FILE", help="also keep full, finished fits there, as JSON, beside those that are there"
    )

    show = command(
        "show", show_recorded, "Print the recorded table of a study or a search.", "kit show fashion-ladder-mlp"
    )
    show.add_argument("name", metavar="STUDY", help="a name that `kit list` shows")
    show.add_argument("--markdown", action="store_true", help="as the README prints it")

    fetch = command(
        "fetch",
        fetch_dataset,
        "Have a dataset at hand: its folder in $KIT_DATA, the cache, or a download.",
        "kit fetch fashion_mnist",
    )
    fetch.add_argument("dataset", metavar="DATASET", help="fashion_mnist, mnist, ...")

    predict = command(
        "predict",
        predict_pictures,
        "Say what a saved net sees in pictures: the three likeliest classes of each, with their probabilities.",
        "kit predict garments.keras photograph.jpg --on-white",
    )
    predict.add_argument("model", metavar="MODEL", help="a file that kit.models.save wrote")
    predict.add_argument("pictures", metavar="IMAGE", nargs="+", help="a picture, such as a .jpg or .png")
    predict.add_argument(
        "--on-white", action="store_true", help="one dark thing on white: cut out and inverted, as Fashion-MNIST is"
    )
    return top


def at_least_one(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def list_names(options):
    from .reports import INDEX

    for name, (_, size, title) in INDEX.items():
        print(f"{name:27} {size:10}  {title}")


def run_named(options):
    if options.quick:
        os.environ["KIT_PROFILE"] = "quick"
    machine.start()
    from . import files, reports, search

    one, found = reports.get(options.name), None
    settings = {"seeds": range(options.seeds), "source": options.source}
    settings |= {"only": options.only} if options.only else {}
    with processes(options.jobs) as executor:
        settings |= {"executor": executor} if executor else {}
        results = reports.run(options.name, **settings)
    if isinstance(one, search.Search):
        found, results = results
        print(found.table.to_string(index=False))
        if results is None:
            print(f"kit: {options.name}: no trial finished", file=sys.stderr)
            return 1
    if options.record:  # before anything else can go wrong
        merged = results.merged(options.record)
        merged.save(options.record) if found is None else search.save(options.record, found, merged)
    print_tables(results, as_text)
    failed = [record for record in results.records if record["status"] != "finished"]
    for record in failed:
        print(f"kit: {record['experiment']}, seed {record['seed']}: {record['status']}", file=sys.stderr)
    traces = {f"{r['experiment']}, seed {r['seed']}": r["traceback"] for r in failed if "traceback" in r}
    traces |= {f"trial {number}": trace for number, trace in (found.failures.items() if found else ())}
    if traces:
        path = files.runs() / results.study.name / "failures.txt"
        with files.writing(path, "w") as file:
            file.writelines(f"{name}\n{trace}\n" for name, trace in traces.items())
        print(f"kit: the tracebacks are in {path}", file=sys.stderr)
    if options.figures:
        write_figures(results, Path(options.figures))
    return int(any("traceback" in record or record.get("kept") is False for record in results.records))


@contextlib.contextmanager
def processes(jobs):
    """An executor of so many processes, each computing on one thread; for one job nothing, and the fits run here."""
    if jobs == 1:
        yield None
        return
    # A small net gains little from a second thread; a second net beside it, on a core of its own, gains all.
    one = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
    ours = {name: value for name, value in one.items() if name not in os.environ}
    os.environ.update(ours)
    try:  # spawned, not forked: a forked TensorFlow hangs
        spawn = multiprocessing.get_context("spawn")
        with futures.ProcessPoolExecutor(jobs, mp_context=spawn, initializer=machine.start_worker) as executor:
            yield executor
    finally:
        for name in ours:
            del os.environ[name]


def show_recorded(options):
    machine.start()
    from . import reports, search

    results = reports.recorded(options.name)
    if isinstance(reports.get(options.name), search.Search):
        found, results = results
        if not options.markdown:
            print(found.best_first().head().to_string(index=False), end="\n\n")
    print_tables(results, as_markdown if options.markdown else as_text)
    for row, seeds in results.missing().items():
        print(f"not recorded yet: {row}, seed {', '.join(map(str, seeds))}")
    earlier = sorted({record["experiment"] for record in results.records if "definition" not in record})
    if earlier:
        print(f"recorded by kit 0.1, without a description of the row: {len(earlier)} rows")


def fetch_dataset(options):
    from . import datasets

    print(repr(datasets.load(options.dataset, source="real")))


def predict_pictures(options):
    machine.start()
    from . import datasets, models

    model, classes = models.load(options.model)
    failed = 0
    for path in map(Path, options.pictures):
        try:
            picture = datasets.photograph(path, model.input_shape[1:], on_white=options.on_white)
        except ValueError as error:
            failed = 1
            print(f"kit: {error}", file=sys.stderr)
            continue
        probabilities = model.predict(picture[None], verbose=0)[0]
        likeliest = probabilities.argsort()[::-1][:3]
        print(f"{path}: {', '.join(f'{classes[number]} {probabilities[number]:.3f}' for number in likeliest)}")
    return failed


def print_tables(results, form):
    """The table of the rows that follow the report, then that of other readings of them."""
    for heading, table in (("", results.table()), ("Other readings of the report:\n\n", results.readings())):
        if len(table):
            print(f"{heading}{form(table)}\n")


def as_text(table):
    """The table for a terminal: figures rounded, the columns that all rows share said once above it."""
    shared = {name: table[name].iloc[0] for name in ("metric", "origin") if table[name].nunique() == 1}
    said = "; ".join(f"{name}: {value}" for name, value in shared.items())
    return f"{said}\n{rounded(table.drop(columns=list(shared))).to_string()}"


def as_markdown(table):
    """The table for the README. The interval is that of one more run, and empty with fewer than three seeds."""
    lines = [
        "| | reported | reproduced | one more run, 95% | seeds | verdict | parameters | epochs | s / epoch |",
        "| --- " * 9 + "|",
    ]
    for name, row in rounded(table).iterrows():
        interval = "" if row.low == "-" else f"{row.low} to {row.high}"
        lines.append(
            f"| {name} | {row.reported} | {row.reproduced} | {interval} | {row.seeds} | {row.verdict} "
            f"| {row.parameters} | {row.epochs} | {row.seconds_per_epoch} |"
        )
    return "\n".join(lines)


def rounded(table):
    formats = dict.fromkeys(("reported", "reproduced", "low", "high"), "{:.4f}") | {"difference": "{:+.4f}"}
    formats |= {"epochs": "{:.0f}", "seconds_per_epoch": "{:.3g}", "parameters": "{:,}", "reported_parameters": "{:,}"}
    table = table.assign(difference=table.difference.round(4) + 0)  # no "-0.0000"
    columns = {name: table[name].astype(object) for name in formats}
    return table.assign(
        **{name: columns[name].map(form.format, na_action="ignore").fillna("-") for name, form in formats.items()}
    )


def write_figures(results, folder):
    """All figures of a run, as PNG: the table as a picture, curves and confusion matrices."""
    from . import files, plots

    table = results.table()
    figures = {"table": plots.reported_beside_reproduced(table if len(table) else results.readings())}
    title = f"{results.study.title} ({results.records[0]['origin']})"
    histories = list(results.histories().items())
    for start in range(0, len(histories), 6):  # more curves than six cannot be told apart
        figures[f"curves-{start // 6 + 1}"] = plots.curves(dict(histories[start : start + 6]), title=title)
    if results.confusion_matrices():
        matrices = plots.confusion_matrices(results.confusion_matrices(), results.classes, title=title)
        figures["confusion-matrices"] = matrices
    for name, figure in figures.items():
        path = folder / f"{results.study.name}-{name}.png"
        with files.writing(path) as file:
            figure.savefig(file, format="png", dpi=100, bbox_inches="tight")
        print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
