"""How flags are spelt, and what their values may be."""

from __future__ import annotations

import click
import pytest

from neocog.app.cli import options
from neocog.app.cli.errors import message_of
from neocog.app.cli.verb import Verb


@click.command("toy", cls=Verb)
@click.argument("model")
@click.argument("source", nargs=-1)
@click.option("--epochs", type=options.WholeOption(1))
@click.option("--lr", type=options.RealOption(0, above=True))
@click.option("--momentum", type=options.RealOption(0, 1))
@click.option("--img-size", type=options.SizeOption())
@click.option("--optimizer", type=options.WordOption(("adam", "sgd")))
@click.option("--output", "-o")
@click.option("--strict", is_flag=True)
@options.batch_size
def toy(**settings: object) -> dict[str, object]:
    return {name: value for name, value in settings.items() if value not in (None, (), False)}


def parse(*words: str) -> dict[str, object]:
    result = toy.main(list(words), prog_name="toy", standalone_mode=False)
    assert isinstance(result, dict)
    return result


def complaint(*words: str) -> str:
    with pytest.raises(click.ClickException) as caught:
        toy.main(list(words), prog_name="toy", standalone_mode=False)
    message, code = message_of(caught.value)
    assert code == 2
    assert message is not None
    return message


@pytest.mark.parametrize(
    "words",
    [
        ["m", "--img-size", "32"],
        ["m", "--img-size=32"],
        ["m", "--imgsz", "32"],
        ["m", "imgsz=32"],
        ["m", "img_size=32"],
        ["imgsz=32x32", "m"],
        ["m", "--img_size=32X32"],
    ],
)
def test_a_setting_may_be_spelt_in_several_ways(words):
    assert parse(*words) == {"model": "m", "img_size": (32, 32), "batch_size": 64}


def test_the_names_of_other_tools_are_understood():
    assert parse("m", "epochs=3", "lr0=0.1", "batch=8") == {"model": "m", "epochs": 3, "lr": 0.1, "batch_size": 8}


def test_an_image_size_is_height_then_width():
    assert parse("m", "--img-size", "48x64")["img_size"] == (48, 64)


def test_a_switch_may_be_written_as_key_and_value():
    assert parse("m", "strict=true")["strict"] is True
    assert "strict" not in parse("m", "strict=False")
    assert "strict must be true or false, got 'maybe'" in complaint("m", "strict=maybe")


def test_arguments_may_be_named_in_any_order():
    assert parse("source=s", "model=m") == {"model": "m", "source": ("s",), "batch_size": 64}


def test_a_file_whose_name_holds_an_equals_sign_stays_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "epochs=3").write_text("")
    assert parse("m", "epochs=3") == {"model": "m", "source": ("epochs=3",), "batch_size": 64}


def test_the_value_of_a_flag_is_not_taken_for_a_setting():
    assert parse("m", "--output", "epochs=3")["output"] == "epochs=3"


def test_words_after_two_dashes_are_left_alone():
    assert parse("m", "--", "epochs=3")["source"] == ("epochs=3",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "0"], "--epochs must be 1 or more, got 0"),
        (["--epochs", "1.5"], "--epochs must be a whole number of 1 or more, got '1.5'"),
        (["epochs=x"], "--epochs must be a whole number of 1 or more, got 'x'"),
        (["--epochs", "99999999999"], "--epochs must be 2147483647 or less, got 99999999999"),
        (["--lr", "-1"], "--lr must be above 0, got -1"),
        (["--lr", "nan"], "--lr must be above 0, got nan"),
        (["--lr", "inf"], "--lr must be above 0, got inf"),
        (["--lr", "fast"], "--lr must be a number above 0, got 'fast'"),
        (["--momentum", "1"], "--momentum must be 0 or more and below 1, got 1"),
        (["--img-size", "0"], "--img-size must be N for a square or HxW, from 1 to 4096 pixels a side, got 0"),
        (["--img-size", "1x2x3"], "--img-size must be N for a square or HxW"),
        (["--img-size", "-5"], "--img-size must be N for a square or HxW"),
        (["--img-size", "99999"], "--img-size must be N for a square or HxW"),
        (["--batch-size", "0"], "--batch-size must be 1 or more, got 0"),
    ],
)
def test_a_number_out_of_its_range_is_refused_with_the_range(words, message):
    assert complaint("m", *words).startswith(f"error: {message}")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--epoks", "3"], "toy has no flag --epoks", "did you mean --epochs?"),
        (["epoks=3"], "toy has no setting 'epoks', and there is no file epoks=3", "did you mean epochs=3?"),
        (["--optimizer", "adm"], "--optimizer must be adam or sgd, got 'adm'", "did you mean adam?"),
        (["--zzz"], "toy has no flag --zzz", "see toy --help"),
        (["--epochs"], "--epochs needs a value", "see toy --help"),
    ],
)
def test_a_word_that_is_not_known_gets_the_nearest_one(words, message, hint):
    text = complaint("m", *words)
    assert message in text
    assert f"hint: {hint}" in text


def test_a_missing_argument_is_named():
    assert complaint() == "error: toy needs MODEL\n  hint: see toy --help"


# -- names of files ---------------------------------------------------------------------------------------------------


@click.command("paths", cls=Verb)
@click.argument("data", type=options.Location())
@click.argument("source", nargs=-1, type=options.Location())
@click.option("--output", "-o", type=options.Place())
@click.option("--strict", is_flag=True)
@options.batch_size
def paths(**settings: object) -> dict[str, object]:
    return settings


def path_settings(*words: str) -> dict[str, object]:
    result = paths.main(list(words), prog_name="paths", standalone_mode=False)
    assert isinstance(result, dict)
    return result


def test_a_tilde_is_the_home_folder_in_every_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    settings = path_settings("data=~/photos", "~/a/*.png", "~", "--output=~/runs/x")
    assert settings["data"] == "/home/me/photos"
    assert settings["source"] == ("/home/me/a/*.png", "/home/me")
    assert str(settings["output"]) == "/home/me/runs/x"


def test_a_file_that_is_called_like_a_home_folder_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.chdir(tmp_path)
    for name in ("~photos", "~root", "~.png"):
        (tmp_path / name).mkdir()
    words = ("~photos", "~photos/*.png", "~root/*.png", "~.png", "~nosuch/x", "-o", "~root/run")
    settings = path_settings(*words)
    assert (settings["data"], *settings["source"]) == words[:5]
    assert str(settings["output"]) == "~root/run"


@pytest.mark.parametrize("name", ["--strict.png", "-1.png", "-b.png", "--strict=1.png", "--outputs"])
def test_a_file_that_is_called_like_a_flag_gets_the_hint_to_write_two_dashes(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("")
    with pytest.raises(click.ClickException) as caught:
        path_settings("data", name, "other.png")
    message, code = message_of(caught.value)
    assert code == 2
    assert message.startswith(f"error: {name} is taken for a flag of paths, though there is a file of that name")
    assert message.endswith(f"hint: write ./{name}, or put -- before the names of files")
    assert path_settings("data", "--", name)["source"] == (name,)
    assert path_settings("data", f"./{name}")["source"] == (f"./{name}",)


def test_the_hint_is_not_given_where_another_word_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.NoSuchOption):
        path_settings("data", "--strict.png")


@pytest.mark.parametrize("word", ["mobilenet_v2", "mobilenetv2", "MobileNetV2", "mobilenet-v2"])
def test_a_word_may_be_written_without_its_joints(word):
    assert options.WordOption(("mobilenet", "mobilenet_v2")).convert(word, None, None) == "mobilenet_v2"


@pytest.mark.parametrize(
    ("text", "minutes"), [("10", 10.0), ("10m", 10.0), ("90s", 1.5), ("1h", 60.0), ("0.5H", 30.0), (" 2 m ", 2.0)]
)
def test_a_time_may_be_written_in_minutes_seconds_or_hours(text, minutes):
    assert options.DurationOption().convert(text, None, None) == minutes


@pytest.mark.parametrize("text", ["0", "-1m", "ten", "m", "", "1h30", "nan", "inf", "1d"])
def test_what_is_no_time_is_refused_with_how_to_write_one(text):
    with pytest.raises(click.UsageError, match="must be a time above 0, such as 10m"):
        options.DurationOption().convert(text, None, None)
