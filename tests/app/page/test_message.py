"""What travels to the page arrives as it was."""

from __future__ import annotations

import numpy as np

import neocog as nc
from app.page.frames import read_frames
from neocog.app.page.message import Answer, error_frame, progress_frame


def test_facts_and_arrays_arrive_as_they_were() -> None:
    generator = np.random.default_rng(0)
    arrays = {"one": generator.normal(size=(2, 3, 4)), "none": np.zeros((0, 5)), "scalar": np.float32(2.5)}
    facts = {"name": "滤波器 🦓 </script>", "list": [1, (2, 3)], "count": np.int64(7), "half": np.float32(0.5)}
    (frame,) = read_frames(Answer(facts, arrays).frame())
    assert frame.manifest["facts"] == {"name": facts["name"], "list": [1, [2, 3]], "count": 7, "half": 0.5}
    for name, value in arrays.items():
        np.testing.assert_array_equal(frame.arrays[name], np.asarray(value, np.float32))


def test_what_json_cannot_say_becomes_text_and_arrays_keep_it() -> None:
    odd = np.array([np.nan, np.inf, -np.inf, 1e300])
    (frame,) = read_frames(Answer({"odd": odd[:3]}, {"odd": odd}).frame())
    assert frame.manifest["facts"] == {"odd": ["NaN", "Infinity", "-Infinity"]}
    np.testing.assert_array_equal(frame.arrays["odd"], np.array([np.nan, np.inf, -np.inf, np.inf], np.float32))


def test_frames_follow_each_other() -> None:
    frames = read_frames(progress_frame(0.25, "images") + Answer({}, {"x": np.ones(3)}).frame())
    assert frames[0].manifest == {"progress": {"done": 0.25, "what": "images"}}
    assert frames[1].arrays["x"].tolist() == [1, 1, 1]


def test_errors_of_users_keep_their_hint_and_others_are_called_bugs() -> None:
    (frame,) = read_frames(error_frame(nc.ShapeError("too small", details=("by far",), hint="use a larger one")))
    assert frame.manifest["error"] == {
        "message": "too small\nby far",
        "hint": "use a larger one",
        "layer": None,
        "code": "shape",
        "said": {"zh": {"message": "too small\nby far", "hint": "use a larger one"}},  # of which nothing is known
    }
    (frame,) = read_frames(error_frame(ZeroDivisionError("division by zero")))
    assert frame.manifest["error"]["code"] == "internal"
    assert "bug" in frame.manifest["error"]["hint"]


def test_what_would_act_in_a_text_is_escaped_wherever_it_stands() -> None:
    evil = "\u202egnp.\x1b[2J\n\udcff"
    seen = "\\u202egnp.\\x1b[2J\\n\\udcff"
    (frame,) = read_frames(Answer({"name": evil, "list": [evil], "in": {"it": evil}}).frame())
    assert frame.manifest["facts"] == {"name": seen, "list": [seen], "in": {"it": seen}}
    seen = seen.replace("udc", "x")  # errors show what stands for a byte as a byte
    told = nc.DataError(f"{evil} cannot be read", details=(evil,), hint=f"remove {evil}")
    (frame,) = read_frames(error_frame(told))
    assert frame.manifest["error"]["message"] == f"{seen} cannot be read\n{seen}"
    assert frame.manifest["error"]["hint"] == f"remove {seen}"
    (frame,) = read_frames(error_frame(OSError(evil)))
    seen = seen.replace("\\xff", "\\udcff")
    assert frame.manifest["error"]["message"] == f"neocog itself failed: OSError: {seen}"


def test_packed_arrays_are_rounded_by_half_a_step_and_whole_numbers_not_at_all() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "map": rng.normal(size=(80, 80)).astype(np.float32),
        "weight": rng.normal(size=(80, 80)).astype(np.float32),
        "some": rng.normal(size=300).astype(np.float32),
        "few": rng.normal(size=10).astype(np.float32),
        "places": rng.integers(-1, 9000, 5000).astype(np.float32),
        "flat": np.full(5001, 0.3, np.float32),
        "bad": np.where(np.arange(5000) == 7, np.nan, 0.25).astype(np.float32),
    }
    whole, packed = Answer({}, arrays).frame(), Answer({}, arrays).frame(packed=True)
    assert len(packed) < len(whole) / 2
    (frame,) = read_frames(packed)
    bits = {entry["name"]: entry.get("bits") for entry in frame.manifest["arrays"]}
    assert bits == {"map": 8, "weight": 16, "some": 16, "few": None, "places": 16, "flat": 8, "bad": None}
    for name, steps in {"map": 255, "weight": 65535, "some": 65535}.items():
        np.testing.assert_allclose(frame.arrays[name], arrays[name], atol=1.01 * np.ptp(arrays[name]) / steps / 2)
    for name in ("few", "places", "flat", "bad"):
        np.testing.assert_array_equal(frame.arrays[name], arrays[name])
