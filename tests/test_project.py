"""The front door: what the README prints is what `results/` holds."""

import re
import shlex
from pathlib import Path

import pytest

from kit import reports
from kit.__main__ import as_markdown, parser

README = (Path(__file__).parents[1] / "README.md").read_text()
TABLES = dict(re.findall(r"<!-- ([\w-]+) -->\n(.*?)\n?<!-- end -->", README, re.S))


@pytest.mark.parametrize("name", reports.names())
def test_the_readme_shows_the_recorded_table(name):
    if not reports.results_path(name).exists():
        pytest.skip("nothing recorded yet")
    results = reports.recorded(name)
    results = results[1] if isinstance(results, tuple) else results
    assert TABLES[name] == as_markdown(results.table()), f"print it with: kit show {name} --markdown"


def test_the_readmes_commands_are_understood():
    lines = re.findall(r"^kit (.+)$", README, re.M)
    assert len(lines) == 4
    for line in lines:
        parser().parse_args(shlex.split(line))  # exits where it does not understand
