"""A training's data from tar shards: seconds, images/s and peak memory, for more and more images.

    python -m benchmarks.shards FOLDER --images 100000 1000000

FOLDER gets the shards that are not there yet: WebDataset's layout, 10,000 images each, JPEGs of 32 x 32 pixels in ten
classes, each of which is a file of its own by a comment segment. Each number of images is measured in a process of its
own: the index, then digests of all contents (as a training takes them), then the beginning of a shuffled epoch, of
which nothing decoded is kept, so that memory holds what it must. With --train, `neocog train` takes two epochs on them,
and keeps what is decoded on disk or in memory as it decides.
"""

from __future__ import annotations

import argparse
import io
import resource
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

SHARD = 10_000  # images
SIDE = 32
PICTURES = 500  # that differ in their pixels
CLASSES = 10
BATCH = 256
MOST = 20_000  # images of an epoch: it goes on as it begins


def main() -> None:
    """Write shards, measure, and print what is found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--train", action="store_true", help="measure neocog train, too")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside is not None:
        inside(given.inside)
        return
    for images in given.images:
        shards = max(1, images // SHARD)
        write_shards(given.folder, shards)
        pattern = f"{given.folder}/photos-{{000000..{shards - 1:06d}}}.tar"
        words = [sys.executable, "-m", "benchmarks.shards", str(given.folder), "--inside", pattern]
        print(f"{images:,} images", flush=True)
        subprocess.run(words, check=True)
        if given.train:
            train(pattern, images)


def write_shards(folder: Path, shards: int) -> None:
    """Write the first so many archives, as far as they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    small = random.integers(0, 256, (PICTURES, 8, 8, 3), np.uint8)
    pictures = []
    for place, pixels in enumerate(small):
        pixels[:2] = 25 * (place % CLASSES)  # what a network can learn
        file = io.BytesIO()
        Image.fromarray(pixels).resize((SIDE, SIDE)).save(file, "JPEG")
        pictures.append(file.getvalue())
    for shard in range(shards):
        path = folder / f"photos-{shard:06d}.tar"
        if path.exists():
            continue
        half = path.with_suffix(".part")
        with tarfile.open(half, "w", format=tarfile.USTAR_FORMAT) as archive:
            for number in range(shard * SHARD, (shard + 1) * SHARD):
                comment = b"\xff\xfe\0\x0a" + number.to_bytes(8, "big")  # behind the start of the image
                picture = pictures[number % PICTURES]
                _add(archive, f"{number:09d}.jpg", picture[:2] + comment + picture[2:])
                _add(archive, f"{number:09d}.cls", str(number % PICTURES % CLASSES).encode())
        half.rename(path)


def inside(pattern: str) -> None:
    """Measure in this process, and print what is found as it comes."""
    from neocog.data.batches import Batches
    from neocog.data.cache import ImageCache
    from neocog.data.resize import ImageSize
    from neocog.data.sources import read_source

    print(f"  imports: {peak():,.0f} MiB", flush=True)
    began = time.perf_counter()
    data = read_source(pattern).unsplit
    assert data is not None
    print(f"  index: {time.perf_counter() - began:,.1f} s, {peak():,.0f} MiB", flush=True)
    began = time.perf_counter()
    data.digests()
    print(f"  digests: {time.perf_counter() - began:,.1f} s, {peak():,.0f} MiB", flush=True)
    vars(data)["_cache"] = ImageCache(len(data), budget=0)
    began = time.perf_counter()
    images = 0
    for _, labels in Batches(data, BATCH, ImageSize(SIDE, SIDE, 3), shuffle=True):
        images += len(labels)
        if images >= MOST:
            break
    speed = images / (time.perf_counter() - began)
    print(f"  {images:,} images of a shuffled epoch: {speed:,.0f} images/s, {peak():,.0f} MiB", flush=True)


def train(pattern: str, images: int) -> None:
    """Measure a training of two epochs, and print the most memory that its process had."""
    with TemporaryDirectory() as folder:
        words = ["train", pattern, "--epochs", "2", "--model", "lenet5", "--quiet", "-o", f"{folder}/run"]
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "neocog", *words], check=True, stdout=subprocess.DEVNULL)
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"  neocog train: {time.perf_counter() - began:,.0f} s, at most {most:,.0f} MiB")


def peak() -> float:
    """Return the most memory that this process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    main()
