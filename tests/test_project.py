"""The front door: what the READMEs print is what `results/` holds, and what it does not."""

import json
import math
import re
import runpy
import shlex
from pathlib import Path

import pytest

from kit import reports
from kit.__main__ import as_markdown, parser

ROOT = Path(__file__).parents[1]
README, RECORDED = (ROOT / "README.md").read_text(), (ROOT / "results" / "README.md").read_text()
TABLES = dict(re.findall(r"<!-- ([\w-]+) -->\n(.*?)\n?<!-- end -->", README, re.S))


@pytest.mark.parametrize("name", reports.names())
def test_the_readme_shows_the_recorded_table(name):
    if not reports.results_path(name).exists():
        pytest.skip("nothing recorded yet")
    results = reports.recorded(name)
    results = results[1] if isinstance(results, tuple) else results
    assert TABLES[name] == as_markdown(results.table()), f"print it with: kit show {name} --markdown"


def test_what_is_not_recorded_is_listed_with_the_command_that_makes_it():
    written = runpy.run_path(str(ROOT / "results" / "write_readme.py"))["text"]()
    assert written == RECORDED, "write it with: python results/write_readme.py"
    commands = re.findall(r"`(kit run .+ --record .+)` \|$", RECORDED, re.M)
    for command in commands:
        given = parser().parse_args(shlex.split(command)[1:])
        if hasattr(reports.get(given.name), "select"):
            assert reports.get(given.name).select(given.only), command
    assert len(commands) == RECORDED.count("--record results/")


def test_the_readmes_commands_are_understood():
    lines = re.findall(r"^kit (.+)$", README, re.M)
    assert len(lines) == 5
    for line in lines:
        parser().parse_args(shlex.split(line))  # exits where it does not understand


def test_the_teachers_page_has_each_notebook_with_its_minutes():
    page = (ROOT / "docs" / "teachers.md").read_text()
    rows = dict(re.findall(r"^\| \[\d\d\]\(\.\./notebooks/([\w.]+)\) \|.*\| (\S+) \| [^|]+ \|$", page, re.M))
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert list(rows) == [path.name for path in notebooks]
    for path in notebooks:
        kept = json.loads(path.read_text())["metadata"].get("kit")
        assert rows[path.name] == (str(math.ceil(kept["seconds"] / 60)) if kept else "-"), path.name


def test_the_glossary_is_in_order_and_names_notebooks_that_are_there():
    text = (ROOT / "docs" / "glossary.md").read_text()
    words = [word.lower() for word in re.findall(r"^\*\*([^*]+)\*\*", text, re.M)]
    assert words == sorted(words) and len(words) == len(set(words)) > 40
    there = {path.name[:2] for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {number for group in re.findall(r"\(([\d, ]+)\)", text) for number in group.split(", ")} <= there


@pytest.mark.parametrize("path", [ROOT / "README.md", *(ROOT / "docs").glob("*.md")], ids=lambda path: path.name)
def test_links_within_the_project_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / link).exists(), link
