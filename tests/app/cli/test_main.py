"""The entry point: the help page, unknown verbs, what is loaded, exit codes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from neocog.app.cli import errors
from neocog.app.cli.main import VERBS, cli

HEAVY = ("numpy", "llvmlite", "torch", "PIL", "safetensors", "tqdm")


def loaded_by(*words: str) -> set[str]:
    """Run the command line in a fresh process and list which of HEAVY it loaded."""
    script = (
        "import sys, contextlib, io\n"
        "from neocog.app.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    main({list(words)!r})\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("words", [[], ["--help"], ["--version"], ["trian"]])
def test_the_front_page_loads_nothing_heavy(words):
    assert loaded_by(*words) == set()


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_page_of_a_verb_loads_no_engine(verb):
    assert loaded_by(verb, "--help") <= {"numpy", "PIL", "safetensors"}


def test_the_help_page_lists_every_verb():
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for verb, (_, line) in VERBS.items():
        assert f"{verb} " in result.output
        assert line in result.output


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help_page(verb):
    result = CliRunner().invoke(cli, [verb, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: cli {verb}")


@pytest.mark.parametrize(("word", "guess"), [("trian", "train"), ("val", "evaluate"), ("predcit", "predict")])
def test_an_unknown_verb_gets_the_nearest_one(word, guess, run):
    done = run(word)
    assert done.code == 2
    assert done.out == ""
    assert done.err == f"error: there is no verb {word!r}\n  hint: did you mean neocog {guess}?\n"


def test_an_unknown_verb_that_resembles_none_gets_the_list(run):
    assert "hint: the verbs are train, evaluate" in run("xyzzy").err


def test_an_unknown_flag_of_the_front_page_is_a_usage_error(run):
    done = run("--verbose")
    assert done.code == 2
    assert done.err.startswith("error: neocog has no flag --verbose")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "error: interrupted"),
        (BrokenPipeError(), 0, None),
        (MemoryError(), 1, "error: out of memory\n  hint: try a smaller --batch-size"),
        (OSError(28, "No space left on device", "a/b"), 1, "error: cannot read or write a/b: the disk is full\n  hint"),
        (PermissionError(13, "Permission denied", "a"), 1, "error: cannot read or write a: permission denied\n  hint"),
        (OSError(99, "Strange"), 1, "error: cannot continue: Strange"),
        (RuntimeError("odd"), 1, "error: neocog itself failed: RuntimeError: odd\n  hint: this is a bug"),
    ],
)
def test_every_error_becomes_one_message_and_a_code(error, code, text):
    message, got = errors.message_of(error)
    assert got == code
    assert (message is None) if text is None else (message is not None and message.startswith(text))


def fail(error: BaseException) -> object:
    raise error


def test_a_traceback_is_shown_only_on_request(monkeypatch, capsys):
    monkeypatch.delenv("NEOCOG_DEBUG", raising=False)
    assert errors.run_reported(lambda: fail(ValueError("odd"))) == 1
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("NEOCOG_DEBUG", "1")
    assert errors.run_reported(lambda: fail(ValueError("odd"))) == 1
    assert "Traceback" in capsys.readouterr().err


def test_output_to_a_full_disk_is_one_message():
    script = "from neocog.app.cli.main import main; main(['--help'])"
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device, not a path of ours
        done = subprocess.run([sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot continue: the disk is full\n")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_what_works_but_not_as_asked_is_one_warning(run, trained_once, monkeypatch):
    monkeypatch.setenv("NEOCOG_THREADS", "2")
    folder, photos = trained_once
    done = run("evaluate", folder, photos, "--threads", "64", "--quiet")
    assert done.code == 0
    assert done.err == (
        "warning: using 2 of 64 threads: this process may use 2 processors\n"
        "  hint: where the system tells the number of processors wrongly, set NEOCOG_THREADS=64\n"
    )
    assert run("evaluate", folder, photos, "--threads", "2", "--quiet").err == ""
