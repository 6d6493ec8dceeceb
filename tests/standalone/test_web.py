"""Networks for browsers answer as their models do: the module under wasmtime, pictures by Node.js."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from neocog.data.decode import fit_image
from neocog.data.resize import ImageSize, ResizeRule
from neocog.errors import EngineError, NeocogError, SettingError
from neocog.model.calibration import Calibration, CurvePoint
from neocog.model.network import Network
from neocog.nn.blocks import Sequential
from neocog.nn.graph import IMAGE
from neocog.nn.layers import Conv2d, Flatten, Linear
from neocog.nn.losses import BinaryCrossEntropy
from neocog.nn.rewrite import fold_norms
from neocog.nn.scales import Scales, rounded_values
from neocog.standalone.code import code_of
from neocog.standalone.linker import link
from neocog.standalone.verify import verify
from neocog.standalone.web import web_of, write_web
from standalone.test_verify import NETWORKS, PLAIN, THOROUGH, images_for, network_of

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="Node.js is not installed")
RULES = ["stretch", "crop=0.875", "pad", "short=20", "short=9,bicubic", "short=600"]
SIZES = [(20, 31), (31, 20), (16, 12), (7, 5), (1, 1), (64, 64), (3, 100), (2, 60_000)]  # height, width
if int(PIL.__version__.split(".")[0]) >= 13:  # before, passes came in another order
    SIZES += [(100, 3), (90, 50)]


def answers_of(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Return what a network's module answers under wasmtime."""
    wasmtime = pytest.importorskip("wasmtime")
    code = code_of(network, "wasm32", "net", scales=network.scales if network.precision == "int8" else None)
    rooms = {"image": int(np.prod(network.input_shape)), "probabilities": 4 * network.graph.classes}
    module = link(code.content, {"neocog_net_predict": "predict"}, {**rooms, "arena": code.arena_bytes})
    store = wasmtime.Store()
    held = wasmtime.Instance(store, wasmtime.Module(store.engine, module.content), []).exports(store)
    image, probabilities, arena = (held[name].value(store) for name in ("image", "probabilities", "arena"))
    memory = held["memory"]
    answers, rows = [], []
    for pixels in images_for(network):
        memory.write(store, b"\xff" * code.arena_bytes, arena)  # NaN
        memory.write(store, pixels.tobytes(), image)
        answers.append(held["predict"](store, image, probabilities, arena))
        rows.append(np.frombuffer(memory.read(store, probabilities, probabilities + rooms["probabilities"]), "<f4"))
    return np.array(answers), np.stack(rows)


@pytest.mark.parametrize("name", NETWORKS if THOROUGH else ["blocks"])
def test_modules_answer_as_models_do(name: str) -> None:
    network = network_of(name)
    answers, probabilities = answers_of(network)
    wanted = network.predict_proba(images_for(network), batch_size=1)
    np.testing.assert_allclose(probabilities, wanted, rtol=0, atol=1e-5)
    assert (answers == wanted.argmax(axis=1)).all()


def test_modules_in_int8_answer_as_models_do() -> None:
    network = network_of("plain")
    folded, rng = fold_norms(network.graph).graph, np.random.default_rng(0)
    values = {folded.nodes[value].name: rng.uniform(0.01, 0.02) for value in rounded_values(folded) if value != IMAGE}
    network.scales = Scales(0.01, values)
    network.precision = "int8"
    _, probabilities = answers_of(network)
    np.testing.assert_allclose(probabilities, network.predict_proba(images_for(network), batch_size=1), atol=1e-6)
    network.precision = "float32"
    assert np.abs(probabilities - network.predict_proba(images_for(network), batch_size=1)).max() > 1e-5


def test_sums_are_made_in_turn() -> None:
    """LLVM would keep all factors of a tile until the end, and browsers have registers for 15 values."""
    text = code_of(network_of("plain"), "wasm32", "net", "asm").content.decode()
    kept = [line.count("v128") for line in text.splitlines() if line.lstrip().startswith(".local")]
    assert 0 < max(kept) <= 20


def test_what_an_object_lacks_is_said() -> None:
    content = code_of(network_of("plain"), "wasm32", "net").content
    with pytest.raises(EngineError, match=r"lacks __linear_memorx"):
        link(content.replace(b"__linear_memory", b"__linear_memorx"), {}, {})


def test_networks_that_take_no_pictures_are_refused() -> None:
    with pytest.raises(SettingError, match="this network takes 2"):
        web_of(Network(Sequential(Conv2d(2, 3), Flatten(), Linear(2)), (6, 6, 2), seed=0), "net")


def test_names_that_read_like_places_to_fill_in_break_nothing() -> None:
    names = ["const WASM = null", "const NETWORK = {}", "{{script}}"]
    network = Network(PLAIN, (9, 8, 1), names, seed=4)
    web = web_of(network, "net")
    for inside in (False, True):
        page = web.page("{{style}} {{script}}", inside=inside)
        assert "<h1>{{style}} {{script}}</h1>" in page
        assert page.count("<script") == 2
    assert page.count('const WASM = "') == 1
    facts, _ = json.JSONDecoder().raw_decode(page, page.index("\nconst NETWORK = ") + len("\nconst NETWORK = "))
    assert facts["labels"] == names


def run_node(folder: Path, script: str) -> str:
    """Run a script beside a `net.js` of the folder, and return what it prints."""
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "run.js").write_text(script)
    assert NODE is not None
    done = subprocess.run([NODE, "run.js"], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_node
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_become_the_pixels_that_predict_sees(channels: int, tmp_path: Path) -> None:
    """By every rule, in one run; half of the pictures are partly transparent."""
    stream = np.random.default_rng(channels)
    pictures = [stream.integers(0, 256, (*size, 4), dtype=np.uint8) for size in SIZES]
    for picture in pictures[::2]:
        picture[..., 3] = 255
    for number, rule in enumerate(RULES):
        network = Network(Sequential(Flatten(), Linear(2)), (16, 12, channels), resize=rule, seed=0)
        folder = tmp_path / str(number)
        write_web(folder, web_of(network, "net"), network, "net")
    for number, picture in enumerate(pictures):
        (tmp_path / f"{number}.raw").write_bytes(picture.tobytes())
    script = f"""
        import fs from 'node:fs'
        for (let rule = 0; rule < {len(RULES)}; rule++) {{
          const {{ prepare }} = await import(`./${{rule}}/net.js`)
          for (const [number, [height, width]] of {json.dumps(SIZES)}.entries()) {{
            const data = new Uint8ClampedArray(fs.readFileSync(`${{number}}.raw`))
            fs.writeFileSync(`${{rule}}/${{number}}.raw`, await prepare({{ data, width, height }}))
          }}
        }}"""
    run_node(tmp_path, script)
    for number, rule in enumerate(RULES):
        for which, picture in enumerate(pictures):
            opaque = (picture[..., 3] == 255).all()
            image = Image.fromarray(picture[..., :3] if opaque else picture)
            wanted = fit_image(image, ImageSize(16, 12, channels), ResizeRule.parse(rule))
            found = np.frombuffer((tmp_path / str(number) / f"{which}.raw").read_bytes(), np.uint8)
            assert (found.reshape(wanted.shape) == wanted).all(), f"{rule}, {SIZES[which]}"


CLASSIFY = """
    import fs from 'node:fs'
    import { classify, labels, load, predict } from './net.js'
    await load(fs.readFileSync('net.wasm'))
    const [pixels, found] = [fs.readFileSync('images.raw'), []]
    for (let from = 0; from < pixels.length; from += 72) {
      const data = new Uint8ClampedArray(288).fill(255)
      for (let place = 0; place < 72; place++) data.fill(pixels[from + place], 4 * place, 4 * place + 3)
      const { answer, probabilities } = predict(pixels.subarray(from, from + 72))
      const picture = { data, width: 8, height: 9 }
      found.push({ answer, probabilities: [...probabilities], said: await classify(picture) })
    }
    console.log(JSON.stringify({ labels, found }))
"""


def said_by_node(network: Network, folder: Path) -> list[dict]:
    write_web(folder, web_of(network, "net"), network, "net")
    (folder / "images.raw").write_bytes(images_for(network).tobytes())
    told = json.loads(run_node(folder, CLASSIFY))
    assert told["labels"] == list(network.class_names)
    probabilities = np.array([one["probabilities"] for one in told["found"]], np.float32)
    wanted = network.predict_proba(images_for(network), batch_size=1)
    np.testing.assert_allclose(probabilities, wanted, rtol=0, atol=1e-5)
    return told["found"]


@needs_node
def test_scripts_say_unknown_where_models_do(tmp_path: Path) -> None:
    network = Network(PLAIN, (9, 8, 1), ["</script>", 'b\n"', "Gänse\u2028"], seed=4, mean=0.4, std=0.3)
    network.calibration = Calibration(2.5, 10, (CurvePoint(0.5, 10, 9),))
    certain = network.predict_proba(images_for(network), batch_size=1).max(axis=1)
    network.reject_below = float(np.sort(certain)[9:11].mean())
    found = said_by_node(network, tmp_path)
    assert "</script>" not in (tmp_path / "net.js").read_text()
    answers = network.predict(images_for(network))
    assert [one["answer"] for one in found] == answers.tolist()
    assert sum(one["said"][0]["label"] == "unknown" for one in found) == (answers == -1).sum() == 10
    for one in found:
        scores = [entry["score"] for entry in one["said"]]
        assert scores == sorted(one["probabilities"], reverse=True)
        if one["answer"] >= 0:
            assert one["said"][0]["label"] == network.class_names[one["answer"]]


@needs_node
def test_the_module_that_was_asked_for_last_counts_and_huge_pictures_are_refused(tmp_path: Path) -> None:
    network = network_of("plain")
    write_web(tmp_path, web_of(network, "net"), network, "net")
    script = """
        import fs from 'node:fs'
        import { classify, load, predict } from './net.js'
        const bytes = fs.readFileSync('net.wasm')
        const failing = load(new Uint8Array(3)).catch(() => 'failed')
        const working = load(bytes)
        console.log(await failing)
        await working
        predict(new Uint8Array(72))
        await load() // what failed first has not taken its place
        const data = new Uint8ClampedArray(4 * 8193 * 8192)
        console.log(await classify({ data, width: 8193, height: 8192 }).catch((error) => error.message))
    """
    assert run_node(tmp_path, script).split("\n")[:2] == ["failed", "a picture of 8193 x 8192 pixels is too large"]


@needs_node
def test_scripts_give_the_labels_above_their_thresholds(tmp_path: Path) -> None:
    network = network_of("plain", loss=BinaryCrossEntropy())
    network.thresholds = [0.3, 0.5, 0.8]
    found = said_by_node(network, tmp_path)
    for one, given in zip(found, network.predict(images_for(network)), strict=True):
        names = {name for name, is_given in zip(network.class_names, given, strict=True) if is_given}
        assert {entry["label"] for entry in one["said"]} == names
        assert one["answer"] == len(names)


@needs_node
def test_verify_answers_by_node_and_finds_another_model_out(tmp_path: Path) -> None:
    network = network_of("plain")
    write_web(tmp_path, web_of(network, "net"), network, "net")
    found = verify(tmp_path, network, images_for(network))
    assert found.images == 20
    assert found.difference < 1e-5
    assert found.emulator == NODE
    with pytest.raises(NeocogError, match="20 of 20 images get other probabilities"):
        verify(tmp_path, Network(PLAIN, (9, 8, 1), seed=5), images_for(network))


def test_without_node_verify_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("plain")
    write_web(tmp_path, web_of(network, "net"), network, "net")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(EngineError, match="needs node"):
        verify(tmp_path, network, images_for(network))
