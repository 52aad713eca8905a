import argparse
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models import __version__
from models.command import DONE, FAILED, WRONG_USAGE, Parser, positive_int, run_command, sub_parser, top_parser
from models.errors import BundleError, CameraError, ConfigError, DatasetError, MekikiError, ModelError

ROOT = Path(__file__).resolve().parents[2]
PIPE = """
import sys
from models.command import run_command, sub_parser, top_parser
def run(arguments):
    for _ in range(arguments.lines):
        print("x" * 100, flush=arguments.flush)
    return 0
parser = top_parser("tool", "d", "tool say")
say = sub_parser(parser.add_subparsers(), "say", run, "a", "tool say 3")
say.add_argument("lines", type=int)
say.add_argument("--flush", action="store_true")
sys.exit(run_command(parser, None))
"""


def parser_of(run) -> Parser:
    parser = top_parser("tool", "A tool.", "tool go --count 3")
    subs = parser.add_subparsers(required=True, metavar="COMMAND")
    go = sub_parser(subs, "go", run, "Go on.", "tool go --count 3")
    go.add_argument("--count", type=positive_int, default=1, help="how often")
    return parser


def ended(error: BaseException | type[BaseException], capsys) -> tuple[int, str]:
    """Exit code and stderr of a command that ends with `error`; nothing may be on stdout."""

    def run(_: argparse.Namespace) -> int:
        raise error

    code = run_command(parser_of(run), ["go"])
    out, err = capsys.readouterr()
    assert out == ""
    return code, err


@pytest.mark.parametrize("code", [DONE, FAILED])
def test_the_exit_code_is_what_the_command_returns(code, capsys):
    assert run_command(parser_of(lambda _: code), ["go"]) == code
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [MekikiError, BundleError, ModelError, DatasetError, CameraError])
def test_what_failed_is_one_line_on_stderr_and_exit_code_1(kind, capsys):
    assert ended(kind("a.bundle: gone; push it again"), capsys) == (1, "tool: a.bundle: gone; push it again\n")


def test_a_wrong_configuration_is_exit_code_2(capsys):
    assert ended(ConfigError("edge.toml: no such key"), capsys) == (2, "tool: edge.toml: no such key\n")


@pytest.mark.parametrize("text", ["one\ntwo", "one\r\n  two\n", "\n\none\t two", "one\v\ftwo"])
def test_a_message_of_several_lines_becomes_one(text, capsys):
    assert ended(BundleError(text), capsys) == (1, "tool: one two\n")


def test_ctrl_c_is_one_line_and_exit_code_1(capsys):
    assert ended(KeyboardInterrupt, capsys) == (1, "tool: interrupted; nothing half-done was left behind\n")


def test_a_full_disk_is_said_in_words_with_the_file(capsys):
    code, err = ended(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/model.bin"), capsys)
    assert code == 1
    assert err == "tool: out/model.bin: No space left on device; free space or fix the path, then run again\n"


def test_a_full_disk_is_said_in_words_also_without_a_file(capsys):
    code, err = ended(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), capsys)
    assert (code, err) == (1, "tool: No space left on device; free space or fix the path, then run again\n")


def test_a_folder_that_may_not_be_written_is_said_in_words(capsys):
    code, err = ended(PermissionError(errno.EACCES, "Permission denied", "/etc/x"), capsys)
    assert code == 1
    assert err.startswith("tool: /etc/x: Permission denied; ")


def test_an_error_of_the_system_without_words_still_says_something(capsys):
    assert ended(OSError("odd"), capsys) == (1, "tool: odd; free space or fix the path, then run again\n")


def test_a_reader_that_had_enough_is_no_failure(capsys):
    assert ended(BrokenPipeError(errno.EPIPE, "Broken pipe"), capsys) == (0, "")
    print("still here", file=sys.stderr)
    assert capsys.readouterr().err == "still here\n"


def test_a_bug_keeps_its_traceback(capsys):
    with pytest.raises(ZeroDivisionError):
        ended(ZeroDivisionError, capsys)


def as_process(stdout: int, *arguments: str) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", PIPE, "say", *arguments],
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=environment | {"PYTHONPATH": str(ROOT)},
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("arguments", [("3",), ("3", "--flush"), ("2000",)], ids=str)
def test_a_closed_pipe_ends_a_process_with_0_and_without_a_word(arguments):
    """`mekiki-deploy status | head -1`. Buffered text fails only when the process ends, then with 120."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert as_process(writer, *arguments) == (0, "")
    finally:
        os.close(writer)


@pytest.mark.parametrize("arguments", [("3",), ("3", "--flush")], ids=str)
def test_output_that_does_not_fit_on_the_disk_is_a_failure_in_one_line(arguments):
    with Path("/dev/full").open("w") as full:
        code, err = as_process(full.fileno(), *arguments)
    assert (code, err) == (1, "tool: No space left on device; free space or fix the path, then run again\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "the following arguments are required: COMMAND; see tool --help"),
        (["stop"], "argument COMMAND: invalid choice: 'stop'"),
        (["go", "--speed", "3"], "unrecognized arguments: --speed 3; see tool --help"),
        (
            ["go", "--coun", "3"],
            "unrecognized arguments: --coun 3",
        ),  # no abbreviations: scripts must survive new options
        (["go", "a\nb"], "unrecognized arguments: a b"),
        (["go", "--count"], "argument --count: expected one argument; see tool go --help"),
        (["go", "--count", "0"], "argument --count: 0: a whole number of 1 or more was wanted"),
        (["go", "--count", "-1"], "argument --count: -1: a whole number of 1 or more was wanted"),
        (["go", "--count", "2.5"], "argument --count: 2.5: a whole number of 1 or more was wanted"),
        (["go", "--count", "many"], "argument --count: many: a whole number of 1 or more was wanted"),
        (["go", "--count", "٣"], "a whole number of 1 or more was wanted"),
        (["go", "--count", ""], "a whole number of 1 or more was wanted"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(arguments, complaint, capsys):
    with pytest.raises(SystemExit) as ended:
        run_command(parser_of(lambda _: pytest.fail("must not run")), arguments)
    out, err = capsys.readouterr()
    assert ended.value.code == WRONG_USAGE
    assert err.startswith("tool")
    assert complaint in err
    assert err.count("\n") == 1
    assert out == ""


def test_a_whole_number_of_1_or_more_passes():
    assert [positive_int(text) for text in ("1", "007", "123456")] == [1, 7, 123456]


def test_help_shows_the_example_as_it_was_typed(capsys):
    with pytest.raises(SystemExit) as ended:
        run_command(parser_of(lambda _: 0), ["go", "--help"])
    assert ended.value.code == 0
    assert "example:\n  tool go --count 3\n" in capsys.readouterr().out


def test_the_version_is_said(capsys):
    with pytest.raises(SystemExit) as ended:
        run_command(parser_of(lambda _: 0), ["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"mekiki {__version__}\n"
