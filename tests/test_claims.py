"""What the notebooks say they found is computed: a figure in a text stands in the claim below it, which checks it.

A cell tagged `claim` follows the text that it is for and asserts what that says, on the recorded results. In a text, a
decimal, a percentage, a number of points and, where a sentence tells an outcome, a number word are findings; they must
stand as numbers in the claim. Settings and the reports' own figures need none: those in the page's code and in the
report's module. A figure of a fit made on the page is printed by its cell, and not told.
"""

import ast
import io
import itertools
import json
import re
import tokenize
from fractions import Fraction
from pathlib import Path

import pytest

import kit

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ONES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen"
)
WORDS = {word: number for number, word in enumerate(ONES.split(), 1)} | {
    "twice": 2, "thrice": 3, "half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4),
    "fifth": Fraction(1, 5), "tenth": Fraction(1, 10), "dozen": 12, "twenty": 20, "thirty": 30,
}  # fmt: skip
OUTCOME = re.compile(
    r"\b(better|worse|best|worst|above|below|behind|ahead|points?|times as|times the|as (many|much|long)|higher|lower|"
    r"faster|slower|harder|hardest|scatters?|reproduced|met|seconds?|minutes?|hours?|gains?|costs?|worth|apart|fewer|"
    r"less|more than|fall|falls|rise|rises|lost|loses?|beats?|leads?|wins?|larger|largest|smaller|smallest|most)\b"
)
# What is counted when a text only describes: the make of a net, the course of a training.
DESCRIBED = (
    r"(more |further |dense |hidden |output |and |or |of |the |plain |first |last |other |such |different )*"
    r"(layers?|units?|convolutions?|filters?|poolings?|classes|labels?|seeds?|fits?|runs?|cores?|optimizers?|stains?|"
    r"channels?|pixels?|copies|images?|sets?|splits?|reports?|notebooks?|networks?|nets?|models?|readings?|options?|"
    r"lists?|lines?|libraries|figures?|at a time|another|by one|way|ways|each|thing|of them|of these|of those)\b"
)


def cells(path):
    return json.loads(path.read_text())["cells"]


def source(cell):
    return "".join(cell["source"])


def is_claim(cell):
    return cell["cell_type"] == "code" and "claim" in cell["metadata"].get("tags", ())


def prose(cell):
    """The text without code, formulas, addresses, the references, and the exercises, which ask and do not tell."""
    text = re.split(r"Things to try|## References|## Exercises", source(cell))[0]
    return re.sub(r"```.*?```|`[^`]*`|\$[^$]*\$|\]\([^)]*\)|<[^>]*>", " ", text, flags=re.DOTALL)


def findings(cell):
    """(as written, the numbers that it may stand as) of each figure in a text that may be a finding."""
    for sentence in re.split(r"(?<=[.!?;:])\s+", prose(cell)):
        for written in re.findall(r"(?<![\d.,])\d+(?:\.\d+)?\s?%|(?<![\d.,])\d+\.\d+(?!\.?\d)", sentence):
            value = Fraction(written.rstrip("% "))
            yield written, {value, value / 100} if written.endswith("%") else {value, value * 100}
        counted = r"(?<![\d.,])(\d+)(?= (?:points|times|of (?:the|its|our) \w+ (?:rows|figures)))"
        for written in re.findall(counted, sentence):
            yield written, {Fraction(written)}
        if OUTCOME.search(sentence):
            for found in re.finditer(rf"\b({'|'.join(WORDS)})\b(?![ -]{DESCRIBED})", sentence, flags=re.IGNORECASE):
                yield found[0], {Fraction(WORDS[found[0].lower()])}


def numbers(code):
    """The numbers in a piece of Python, exactly as written."""
    found = set()
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.NUMBER:
            found.add(Fraction(token.string.replace("_", "")))
    return found


def plain(code):
    """Without the lines that only IPython reads."""
    return re.sub(r"^([ \t]*)[%!].*$", r"\1pass", code, flags=re.MULTILINE)


def settings(path):
    """The numbers of the page's code, and those of the modules of the reports that it recalls."""
    code = [plain(source(cell)) for cell in cells(path) if cell["cell_type"] == "code" and not is_claim(cell)]
    names = set(re.findall(r'kit\.reports\.\w+\(\s*"([\w-]+)"', "\n".join(code)))
    modules = {kit.reports.INDEX[name][0].partition(".")[0] for name in names if name in kit.reports.INDEX}
    code += [(ROOT / "kit" / "reports" / f"{module}.py").read_text() for module in modules]
    known = set().union(*map(numbers, code))
    texts = re.findall(r"(?<![\w.])\d+\.\d+", "\n".join(code))  # in docstrings too
    return known | {Fraction(text) for text in texts}


def pairs(path):
    """(text, the claim behind it or None)"""
    page = [*cells(path), {"cell_type": "none"}]
    for cell, after in itertools.pairwise(page):
        if cell["cell_type"] == "markdown":
            yield cell, after if is_claim(after) else None


def uncovered(text, claim, known):
    """The figures of a text that stand neither in its claim nor among the settings."""
    there = numbers(source(claim)) if claim else set()
    return [
        written
        for written, values in findings(text)
        if not values & there and not (("." in written or "%" in written) and values & known)
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_figure_is_told_that_is_not_checked(path):
    known = settings(path)
    loose = {source(text)[:60]: found for text, claim in pairs(path) if (found := uncovered(text, claim, known))}
    assert not loose


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_changed_digit_in_a_text_is_seen(path):
    known = settings(path)
    for text, claim in pairs(path):
        if claim is None:
            continue
        for written, values in findings(text):
            if "." in written and not values & known and source(text).count(written) == 1:
                place = written.rstrip("% ")
                others = [place[:-1] + digit for digit in "0123456789" if digit != place[-1]]
                seen = [uncovered({"source": source(text).replace(place, other)}, claim, known) for other in others]
                assert sum(map(bool, seen)) >= 5, (written, source(text)[:60])


def world(path):
    """The names that claims stand on: those of the page's imports and of its cells that recall records."""
    names = {}
    for cell in cells(path):
        if cell["cell_type"] != "code" or is_claim(cell):
            continue
        tree = ast.parse(plain(source(cell)))
        if "recorded(" not in source(cell):
            tree.body = [part for part in tree.body if isinstance(part, (ast.Import, ast.ImportFrom))]
        exec(compile(tree, path.name, "exec"), names)
    return names


def asserted(code):
    """(row, first column, last column) of the numbers within assert statements."""
    tree = ast.parse(code)
    spans = [(node.lineno, node.end_lineno) for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.NUMBER and any(first <= token.start[0] <= last for first, last in spans):
            yield token


def nudged(number):
    """The number with its last digit one more, and one less."""
    step = Fraction(1, 10 ** len(number.partition(".")[2]))
    for changed in (Fraction(number) + step, Fraction(number) - step):
        yield f"{float(changed):.{len(number.partition('.')[2])}f}"


def fails(code, names):
    try:
        exec(code, dict(names))
    except (AssertionError, LookupError, ArithmeticError, ValueError):  # no row of that name, a division by zero
        return True
    return False


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if any(map(is_claim, cells(p)))], ids=lambda path: path.stem)
def test_the_claims_hold_and_would_fail_with_another_digit(path):
    names = world(path)
    for text, claim in pairs(path):
        if claim is None:
            continue
        code = source(claim)
        exec(code, dict(names))
        assert "assert" in code, f"a claim without an assertion: {code}"
        for written, values in findings(text):
            places = [token for token in asserted(code) if Fraction(token.string.replace("_", "")) in values]
            if not places:
                continue  # a setting
            lines = code.split("\n")
            firm = []
            for token in places:
                (row, first), (_, last) = token.start, token.end
                changed = [
                    "\n".join([*lines[: row - 1], lines[row - 1][:first] + other + lines[row - 1][last:], *lines[row:]])
                    for other in nudged(token.string.replace("_", ""))
                ]
                firm.append(all(fails(one, names) for one in changed))
            assert any(firm), f"{written!r} could be another figure: {source(text)[:60]}"


def test_every_claim_has_a_text_before_it():
    for path in NOTEBOOKS:
        page = cells(path)
        for before, cell in zip([{"cell_type": "none"}, *page], page):
            assert not is_claim(cell) or before["cell_type"] == "markdown", (path.name, source(cell))
