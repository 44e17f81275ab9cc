"""The manual is true: its commands parse, and run where they can; its links lead somewhere.

Every page but the one that the program prints. A block under `<!-- not run: reason -->` is only parsed. All others are
run as a reader would, each page in a folder and a home of its own.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.house.test_readme import machines, processes_of, shape
from tools.readme_tour import SHOWN_ON, reader, steps

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
TUTORIAL = DOCS / "tutorial.md"
PAGES = [README, *sorted(DOCS.rglob("*.md"))]
TAUGHT = [page for page in PAGES if page.name != "cli.md"]  # that one is printed by the program
SHOWN = [README, TUTORIAL]  # with the output, which tests compare
WITH_SHELL = [page for page in TAUGHT if re.search("^```sh$", page.read_text(), re.MULTILINE) and page != TUTORIAL]
EAGER = {"--help", "--version", "--install-completion"}  # done while they are parsed
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^\n]*?) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
INLINE = re.compile(r"`(gpucloud [^`]+)`")


class Block(NamedTuple):
    """A fenced block; `why` says why it is not run."""

    page: Path
    kind: str
    why: str | None
    text: str


def blocks(page: Path) -> list[Block]:
    return [Block(page, m["kind"], m["why"], m["text"]) for m in BLOCK.finditer(page.read_text())]


def label(page: Path) -> str:
    return str(page.relative_to(ROOT))


# ---- commands parse


def command_lines(text: str) -> Iterator[list[str]]:
    """The words of every `gpucloud` command in shell text, without redirections and what stands behind pipes."""
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] | None = None
        for token in [*lexer, ";"]:
            if set(token) <= set("();<>|&"):
                if words is not None:
                    yield words
                words = None
            elif words is not None:
                words.append(token)
            elif token == "gpucloud":
                words = []
            elif token.startswith("gpucloud "):  # quoted, as in a trap
                yield from command_lines(token)


def parse(words: list[str]) -> None:
    """Raises the parser's own error when a command or option does not exist or a word is missing."""
    from gpucloud.cli.app import root
    from gpucloud.cli.options import reset

    try:
        group = root()
        context = group.make_context("gpucloud", list(words))
        rest = [*context._protected_args, *context.args]
        while rest:
            name, command, rest = group.resolve_command(context, rest)
            if not hasattr(command, "resolve_command"):
                command.make_context(name, rest, parent=context)
                return
            context = command.make_context(name, rest, parent=context)
            group, rest = command, [*context._protected_args, *context.args]
    finally:
        reset()


def shell_text(page: Path) -> str:
    """All shell of a page: sessions without their output, scripts, and commands within sentences."""
    text = [line for block in blocks(page) if block.kind == "sh" for line in block.text.splitlines()]
    text += [command for command, _ in steps(page.read_text())]
    prose = BLOCK.sub("", page.read_text())
    return "\n".join([*text, *(" ".join(found.split()) for found in INLINE.findall(prose) if "…" not in found)])


@pytest.mark.parametrize("page", TAUGHT, ids=label)
def test_every_command_that_a_page_names_exists_with_its_options(page):
    for words in command_lines(shell_text(page)):
        if EAGER & {*words}:
            continue
        try:
            parse(words)
        except Exception as error:
            pytest.fail(f"{label(page)}: gpucloud {shlex.join(words)}: {error}")


def test_the_parser_of_this_test_refuses_what_does_not_exist():
    for line in ("gpucloud fly", "gpucloud up --gpus A100", "true && gpucloud down --al", "gpucloud allow | cat"):
        (words,) = command_lines(line)
        with pytest.raises(Exception, match=r"(?i)no such|there is no|missing"):
            parse(words)
    assert list(command_lines("trap 'gpucloud down a --yes' EXIT; gpucloud ls >x")) == [["down", "a", "--yes"], ["ls"]]


@pytest.mark.parametrize("page", TAUGHT, ids=label)
def test_settings_that_a_page_shows_are_settings(page, tmp_path):
    from gpucloud.cli.taskfile import SETTINGS, read

    for block in blocks(page):
        name = block.text.partition("\n")[0].removeprefix("# ")
        if block.kind == "yaml" and name == "role.yaml":  # Google's; the driver's tests run with exactly this one
            assert page.name == "gcp.md"
        elif block.kind == "yaml" and name in ("gpucloud.yaml", "config.yaml"):
            (tmp_path / name).write_text(block.text)
            assert read(tmp_path / name, SETTINGS if name == "config.yaml" else ())
        elif block.kind == "yaml":
            assert name == "hosts.yaml", f"{label(page)}: which file is this?"
            from gpucloud.providers.ssh.inventory import load

            (tmp_path / name).write_text(block.text)
            assert load(tmp_path / name, lambda model: model)  # which cards there are is not asked


# ---- commands run


@pytest.fixture
def shell(tmp_path):
    """A reader of a page; afterwards no machine may be left."""
    place = tmp_path / "reader"
    place.mkdir()
    run = reader(place, SHOWN_ON.search(TUTORIAL.read_text()).group())
    yield run
    run("gpucloud down --all --yes")
    run('[ ! -d other-home ] || GPUCLOUD_HOME="$PWD/other-home" gpucloud down --all --yes')  # a page's second home
    assert machines(place / "home") == [] and processes_of(place) == []


def test_the_tutorial_happens_as_it_is_shown(shell):
    told = steps(TUTORIAL.read_text())
    verbs = [command.split()[1] for command, _ in told if command.startswith("gpucloud")]
    assert verbs == ["compare", "recommend", "init", "up", "run", "ps", "logs", "pull", "cost", "down", "gc"]
    for command, expected in told:
        done = shell(command)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        actual = [shape(line) for line in done.stdout.splitlines() if shape(line)]
        assert actual == [shape(line) for line in expected if shape(line)], f"$ {command}\n{done.stdout}"


@pytest.mark.parametrize("page", WITH_SHELL, ids=label)
def test_the_commands_of_a_page_run(page, shell):
    for block in blocks(page):
        if block.kind == "sh" and block.why is None:
            done = shell("set -e\n" + block.text)
            assert done.returncode == 0, f"{label(page)}:\n{block.text}\n{done.stdout}"


def test_no_command_hides_where_it_is_not_run():
    for page in TAUGHT:
        kinds = {block.kind for block in blocks(page)}
        assert kinds <= {"sh", "yaml", "json", "python", "text", "csv", *(["console"] if page in SHOWN else [])}, label(
            page
        )
        assert not re.findall(r"^    (?:gpucloud|gcloud|aws|az|pip|python|make) .*", page.read_text(), re.MULTILINE)


def test_what_is_not_run_says_why():
    assert all(block.why is None or len(block.why) > 10 for page in TAUGHT for block in blocks(page))
    for page in TAUGHT:
        marks = page.read_text().count("<!-- not run")
        assert marks == sum(block.why is not None for block in blocks(page)), f"{label(page)}: a mark without a block"


# ---- links


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", head)).strip().lower().replace(" ", "-") for head in heads
    }


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_links_lead_to_a_page_and_to_a_place_in_it(page):
    for target in LINK.findall(re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)):
        if "://" in target:
            continue
        name, _, place = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{label(page)} links to {target}"
        assert not place or place in anchors(there), f"{label(page)}: {target} is no heading of {there.name}"


def test_every_page_is_in_the_navigation_and_reachable_from_the_start():
    listed = set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE))
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert listed == there
    start = {name for name in LINK.findall((DOCS / "index.md").read_text()) if name.endswith(".md")}
    assert start == there - {"index.md"}


def test_what_is_said_of_other_tools_has_a_source_with_its_date():
    said, read = (DOCS / "comparison.md").read_text().split("## What was read")
    cited = {target for target in LINK.findall(said) if "://" in target}
    listed = {target for target in LINK.findall(read) if "://" in target}
    assert cited == listed
    assert re.search(r"All on 20\d\d-\d\d-\d\d", read)


def test_every_library_that_is_installed_has_its_reason():
    wanted = re.findall(r'"([A-Za-z][\w.-]*)(?:\[[\w,]+\])?>=', (ROOT / "pyproject.toml").read_text())
    assert len(wanted) > 20
    reasons = (DOCS / "decisions" / "libraries.md").read_text()
    words = {name.removeprefix("azure-mgmt") if name != "azure-mgmt-compute" else name for name in wanted}
    assert {name for name in words if not name.startswith("types-") and name not in reasons} == set()
