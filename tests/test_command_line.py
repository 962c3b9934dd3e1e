"""`kit` on the command line: what it prints, writes and refuses."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

from kit import reports, studies
from kit.__main__ import main, processes
from kit.studies import ledger


@pytest.fixture
def tiny_study(monkeypatch, tmp_path):
    study = tiny.study(tmp_path / "fits")
    tiny.register(monkeypatch, study)
    return study


def test_list(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "fashion-ladder-mlp          30 rows " in out and "fashion-ladder-mlp-talos    108 trials " in out


@pytest.mark.slow
def test_run_prints_the_table_and_writes_the_figures(tiny_study, capsys, tmp_path):
    assert (
        main(
            [
                "run",
                "tiny",
                "--seeds",
                "2",
                "--figures",
                str(tmp_path / "figures"),
                "--record",
                str(tmp_path / "r.json"),
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "6/6 third, seed 1: accuracy" in out and "metric: accuracy; origin: real" in out and "verdict" in out
    written = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert written == ["tiny-confusion-matrices.png", "tiny-curves-1.png", "tiny-table.png"]
    assert all(name in out for name in written) and (tmp_path / "r.json").exists()


@pytest.mark.slow
def test_one_row_is_recorded_beside_those_that_are_there(tiny_study, tmp_path):
    path = tmp_path / "r.json"
    assert main(["run", "tiny", "--only", "first", "--seeds", "2", "--record", str(path)]) == 0
    before = {line.rstrip(",") for line in path.read_text().splitlines() if "checksum" in line}
    assert main(["run", "tiny", "--only", "third", "--record", str(path)]) == 0
    results = studies.Results.load(path)
    assert [(r["experiment"], r["seed"]) for r in results.records] == [("first", 0), ("third", 0), ("first", 1)]
    assert len(before) == 2 and before < {line.rstrip(",") for line in path.read_text().splitlines()}


@pytest.mark.slow
def test_readings_can_be_run_alone(tiny_study, monkeypatch, capsys, tmp_path):
    first, second = tiny_study.experiments[:2]
    rows = (first, dataclasses.replace(second, of="first", reported={}))
    tiny.register(monkeypatch, dataclasses.replace(tiny_study, experiments=rows))
    kept = ["--record", str(tmp_path / "r.json"), "--figures", str(tmp_path / "figures")]
    assert main(["run", "tiny", "--only", "second", *kept]) == 0
    out = capsys.readouterr().out
    assert "Other readings of the report:" in out and "second" in out
    assert [r["experiment"] for r in studies.Results.load(tmp_path / "r.json").records] == ["second"]
    assert (tmp_path / "figures" / "tiny-table.png").exists()


@pytest.mark.slow
def test_what_was_fitted_is_recorded_before_it_is_printed(tiny_study, monkeypatch, tmp_path):
    def broken(*_):
        raise ValueError("a table that cannot be printed")

    monkeypatch.setattr("kit.__main__.print_tables", broken)
    assert main(["run", "tiny", "--only", "first", "--record", str(tmp_path / "r.json")]) != 0
    assert len(studies.Results.load(tmp_path / "r.json").records) == 1


@pytest.mark.slow
def test_a_row_that_failed_is_exit_status_1(tiny_study, monkeypatch, capsys):
    rows = (tiny_study.experiments[0], dataclasses.replace(tiny_study.experiments[1], build=tiny.broken))
    tiny.register(monkeypatch, dataclasses.replace(tiny_study, experiments=rows))
    assert main(["run", "tiny"]) == 1
    assert "failed: MemoryError: no room for this net" in capsys.readouterr().out
    assert main(["run", "tiny", "--only", "first"]) == 0


@pytest.mark.slow
def test_a_fit_that_could_not_be_kept_is_exit_status_1(tiny_study, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "LIMIT", 10)  # bytes: as if there were no room
    assert main(["run", "tiny", "--only", "first"]) == 1
    said = capsys.readouterr()
    assert "first, seed 0: accuracy" in said.out  # its figures are there all the same
    assert "this fit is in the table, and is not kept" in said.err


def test_run_takes_rows_source_and_profile(tiny_study, capsys):
    assert main(["run", "tiny", "--only", "first", "--only", "th*", "--source", "synthetic", "--quick"]) == 0
    out = capsys.readouterr().out
    assert "second," not in out and "origin: synthetic" in out and "2 epochs" in out


@pytest.mark.slow
def test_run_shares_the_fits_out(tiny_study, capsys, tmp_path):
    before = dict(os.environ)
    assert main(["run", "tiny", "--only", "first", "--only", "third", "--jobs", "2"]) == 0
    out = capsys.readouterr().out
    assert "2/2" in out and "failed" not in out and dict(os.environ) == before
    noted = (tmp_path / "fits").read_text().split()
    assert len(noted) == 2 and str(os.getpid()) not in noted


def test_each_process_computes_on_one_thread():
    with processes(2) as executor:
        assert executor.submit(os.getenv, "TF_NUM_INTRAOP_THREADS").result() == "1"
    assert "TF_NUM_INTRAOP_THREADS" not in os.environ


@pytest.mark.slow
def test_show(tiny_study, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(reports, "results_path", lambda name: tmp_path / f"{name}.json")
    assert main(["show", "tiny"]) == 1
    assert capsys.readouterr().err.startswith("kit: no results are recorded for 'tiny'")
    studies.run(tiny_study, seeds=(0, 1)).save(tmp_path / "tiny.json")
    assert main(["show", "tiny"]) == 0
    assert "first" in capsys.readouterr().out
    assert main(["show", "tiny", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("| | reported | reproduced |")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "the following arguments are required: COMMAND"),
        (["walk"], "invalid choice: 'walk'"),
        (["run"], "required: STUDY"),
        (["run", "nothing"], "no study or search is called 'nothing'"),
        (["run", "tiny", "--only", "fourth"], "no experiment of 'tiny' is called 'fourth'"),
        (["run", "tiny", "--seeds", "0"], "'0' is no whole number of at least 1"),
        (["run", "tiny", "--source", "real life"], "source is 'real life'; it should be real or synthetic"),
        (["show", "nothing"], "no study or search is called 'nothing'"),
        (["fetch", "nothing"], "nothing"),
    ],
)
def test_bad_arguments_are_one_line_and_status_2(arguments, message, tiny_study, capsys):
    try:
        status = main(arguments)
    except SystemExit as exit:
        status = exit.code
    said = capsys.readouterr()
    assert status == 2 and said.out == ""
    assert message in said.err and said.err.count("\n") == 1


def test_help_has_an_example_each(capsys):
    for command in ("list", "run", "show", "fetch"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert f"example: kit {command}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_no_process_outlives_the_run_that_began_it(tmp_path):
    def beneath(number):
        """The processes that have the run's environment, without the run."""
        found = []
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if process.name.isdecimal() and mark.encode() in (process / "environ").read_bytes():
                    found.append(int(process.name))
        return sorted(set(found) - {number})

    mark = f"KIT_RUNS={tmp_path}"
    command = "kit run fashion-ladder-mlp --source synthetic --quick --jobs 2".split()
    env = os.environ | {"KIT_RUNS": str(tmp_path)}
    run = subprocess.Popen([sys.executable, "-m", *command], env=env, stdout=subprocess.PIPE, text=True)
    run.stdout.readline()  # the first fit is done: both workers are at work
    assert len(beneath(run.pid)) >= 2
    run.send_signal(signal.SIGKILL)
    run.wait()
    for _ in range(50):
        if not beneath(run.pid):
            break
        time.sleep(0.1)
    assert not beneath(run.pid)
