"""Documentation that can be wrong is tested: help, examples, README and Makefile."""

import argparse
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README, MAKEFILE = ROOT / "README.md", ROOT / "Makefile"
PAGES = [README, ROOT / "deploy/README.md", ROOT / "deploy/prometheus/README.md", ROOT / "tests/bench/README.md"]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)")
HTML = re.compile(r"<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)=[\"']([^\"'\s]+)", re.IGNORECASE)
CODE = re.compile(r"```.*?```|~~~.*?~~~|`[^`\n]+`", re.DOTALL)


def parser_of(module: str) -> argparse.ArgumentParser:
    found = importlib.import_module(module)
    build = getattr(found, "build_parser", None) or found._parser
    return build()


PARSERS = {parser.prog: parser for parser in map(parser_of, ("edge.cli", "trainer.cli", "deploy.cli"))}


def walk(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser and all below it, by what a user types."""
    found = {parser.prog: parser}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                found |= walk(child)
    return found


COMMANDS = {name: (parser, top) for top in PARSERS.values() for name, parser in walk(top).items()}
each_command = pytest.mark.parametrize("command", COMMANDS)


def examples_of(parser: argparse.ArgumentParser) -> list[str]:
    _, _, text = (parser.epilog or "").partition("example:")
    return [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def faults_of(name: str, parser: argparse.ArgumentParser, top: argparse.ArgumentParser) -> list[str]:
    """What is missing in the help of one command."""
    faults = [] if parser.description else ["no description"]
    if not (examples := examples_of(parser)):
        faults.append("no example")
    for example in examples:
        program, *arguments = shlex.split(example)
        if program != top.prog or not example.startswith(name):
            faults.append(f"example of another command: {example}")
        try:
            top.parse_args(arguments)
        except SystemExit:
            faults.append(f"example does not parse: {example}")
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction) and action.help in (None, "", argparse.SUPPRESS):
            faults.append(f"no help: {'/'.join(action.option_strings) or action.dest}")
        elif isinstance(action, argparse._SubParsersAction):
            helped = {choice.dest for choice in action._choices_actions if choice.help}
            faults += [f"no line in the list of commands: {child}" for child in action.choices if child not in helped]
    return faults


@pytest.fixture(scope="module")
def readme() -> str:
    assert README.exists(), "README.md is missing"
    return README.read_text(encoding="utf-8")


def test_there_are_three_commands():
    assert sorted(PARSERS) == ["mekiki-deploy", "mekiki-edge", "mekiki-train"]
    assert len(COMMANDS) > 8


@each_command
def test_a_command_has_a_description_an_example_that_parses_and_help_for_every_option(command):
    assert faults_of(command, *COMMANDS[command]) == []


@each_command
def test_a_commands_help_can_be_shown(command, capsys):
    """A stray % in a help text is an error only when it is shown."""
    parser, top = COMMANDS[command]
    with pytest.raises(SystemExit) as ended:
        top.parse_args([*command.split()[1:], "--help"])
    assert ended.value.code == 0
    assert parser.description.split()[0] in capsys.readouterr().out


@each_command
def test_a_command_stands_in_the_readme(command, readme):
    assert re.search(rf"(?<![\w-]){re.escape(command)}(?![\w-])", readme), f"README.md does not name `{command}`"


def test_the_check_of_commands_finds_what_is_missing():
    top = argparse.ArgumentParser("tool", description="d", epilog="example:\n  tool go --fast 3")
    go = top.add_subparsers().add_parser("go", epilog="example:\n  tool go --slow\n  other go")
    go.add_argument("--fast")
    assert faults_of("tool", top, top) == ["no line in the list of commands: go"]
    assert faults_of("tool go", go, top) == [
        "no description",
        "example does not parse: tool go --slow",
        "example of another command: other go",
        "no help: --fast",
    ]
    assert "no example" in faults_of("tool go", argparse.ArgumentParser("x"), top)


def targets_of(makefile: str) -> set[str]:
    return set(re.findall(r"^([A-Za-z][\w-]*):(?!=)", makefile, re.MULTILINE))


def make_targets_in(text: str) -> set[str]:
    """Targets of `make` in the code of a Markdown text; in prose "make sure" is no target."""
    code = "\n".join(CODE.findall(text))
    return set(re.findall(r"\bmake ((?!-)[a-z][\w-]*)", code))


@each_page
def test_every_make_target_that_is_named_exists(page):
    assert make_targets_in(page.read_text()) - targets_of(MAKEFILE.read_text()) == set()


def modules_in(text: str) -> set[str]:
    """What `python -m` is said to run."""
    return set(re.findall(r"\bpython -m ([\w.]+)", "\n".join(CODE.findall(text))))


@each_page
def test_every_module_and_test_that_is_to_be_run_exists(page):
    text = page.read_text()
    modules = {name for name in modules_in(text) if name.split(".")[0] in {"tests", "trainer", "edge", "deploy"}}
    assert [name for name in sorted(modules) if importlib.util.find_spec(name) is None] == []
    assert [path for path in re.findall(r"\btests/[\w/]+\.py\b", text) if not (ROOT / path).exists()] == []


def test_the_check_of_modules_sees_code_and_not_prose():
    assert modules_in("python -m no.one, but `OMP_NUM_THREADS=1 python -m tests.bench.peer 256`") == {
        "tests.bench.peer"
    }


def test_the_targets_that_the_project_promises_exist_and_are_explained():
    explained = re.findall(r"^([a-z-]+):.*##", MAKEFILE.read_text(), re.MULTILINE)
    assert {"install", "demo", "study", "test", "lint", "bench"} <= set(explained)


def test_the_check_of_make_targets_sees_code_and_not_prose():
    text = "Please make sure.\n\n`make test` or\n```\nmake demo DATA=x\nPYTHON=a make install\n```\n"
    assert make_targets_in(text) == {"test", "demo", "install"}
    assert targets_of("BIN := .venv\ntest-slow: $(READY)  ## x\n\techo a:b\n.PHONY: help\n") == {"test-slow"}


def links_in(text: str) -> set[str]:
    """Relative links and pictures of a Markdown text, without their anchors."""
    prose = CODE.sub("", text)
    found = {*LINK.findall(prose), *HTML.findall(prose)}
    return {link.split("#")[0] for link in found if not re.match(r"[a-z][a-z0-9+.-]*:|//|#", link, re.IGNORECASE)}


@each_page
def test_every_relative_link_and_picture_of_a_page_exists_in_the_repository(page):
    links = sorted(links_in(page.read_text()))
    assert [link for link in links if not (page.parent / link).exists()] == []
    assert [link for link in links if not (page.parent / link).resolve().is_relative_to(ROOT)] == []


@each_page
def test_every_anchor_of_a_page_is_a_heading_of_it(page):
    text = page.read_text()
    headings = re.findall(r"^#+\s+(.+?)\s*$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    anchors = set(re.findall(r"\]\(#([^)\s]+)\)", text))
    assert anchors - slugs == set()


def test_the_check_of_links_sees_links_and_pictures_and_not_addresses():
    text = (
        '[a](docs/a.md#part) ![b](out/b.png "title") [c](https://example.com) [d](#here) `[e](e.md)` '
        '<img width="9" src="f.png"> <a href="mailto:g@h">g</a>\n```\n[h](h.md)\n```'
    )
    assert links_in(text) == {"docs/a.md", "out/b.png", "f.png"}
