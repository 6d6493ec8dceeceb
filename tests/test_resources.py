"""What this process may use is read from what the system tells, whichever way it tells it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import neocog.system
from neocog.data.parallel import worker_count
from neocog.resources import UNTOLD, available_memory, available_threads, cache_folder

MB = 1 << 20
UNLIMITED_V1 = 9223372036854771712  # what version 1 says where there is no limit


def system(root: Path, files: dict[str, str]) -> Path:
    """Write files of /proc and /sys; a machine with 4,000 MB available unless they say otherwise."""
    for name, text in {"proc/meminfo": f"MemTotal: 9999999 kB\nMemAvailable: {4000 * 1024} kB\n", **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def group(limit: object, used: int, **stat: int) -> dict[str, str]:
    """Write a group of version 2; megabytes."""
    lines = "".join(f"{name} {value * MB}\n" for name, value in stat.items())
    told = limit if isinstance(limit, str) else int(limit) * MB  # type: ignore[call-overload]
    return {"memory.max": f"{told}\n", "memory.current": f"{used * MB}\n", "memory.stat": f"anon 1\n{lines}"}


def group_v1(limit: int | None, used: int, **stat: int) -> dict[str, str]:
    """Write a group of version 1; megabytes."""
    lines = "".join(f"{name} {value * MB}\n" for name, value in stat.items())
    told = UNLIMITED_V1 if limit is None else limit * MB
    return {
        "memory.limit_in_bytes": f"{told}\n",
        "memory.usage_in_bytes": f"{used * MB}\n",
        "memory.stat": f"rss 1\n{lines}",
    }


def at(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {f"sys/fs/cgroup/{folder}/{name}".replace("//", "/"): text for name, text in files.items()}


# -- memory -----------------------------------------------------------------------------------------------------------


def test_a_machine_without_groups_has_what_it_says_is_available(tmp_path: Path) -> None:
    assert available_memory(system(tmp_path, {})) == 4000 * MB


def test_a_system_that_tells_nothing_counts_as_having_four_gigabytes(tmp_path: Path) -> None:
    assert available_memory(tmp_path) == UNTOLD == 4 << 30


def test_what_was_read_from_files_does_not_count_as_used(tmp_path: Path) -> None:
    """A container that has read its data set is full of pages that it gives back when asked."""
    files = at("", group(1000, 990, inactive_file=600, active_file=200, slab_reclaimable=40))
    root = system(tmp_path, {"proc/self/cgroup": "0::/\n", **files})
    assert available_memory(root) == (1000 - 990 + 600 + 200 + 40) * MB


@pytest.mark.parametrize(("inner", "middle", "outer"), [(300, 900, 950), (900, 300, 950), (900, 950, 300)])
def test_the_tightest_of_all_groups_above_counts(tmp_path: Path, inner: int, middle: int, outer: int) -> None:
    root = system(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pods.slice/pod7/box\n",
            **at("pods.slice/pod7/box", group(inner, 100)),
            **at("pods.slice/pod7", group(middle, 100)),
            **at("pods.slice", group(outer, 100)),
            **at("", {"cgroup.controllers": "cpu memory\n"}),  # the machine's outermost group has no limits
        },
    )
    assert available_memory(root) == (300 - 100) * MB


def test_groups_beside_this_one_do_not_count(tmp_path: Path) -> None:
    files = {**at("mine", group("max", 10)), **at("others", group(1, 1)), **at("mine/below", group(1, 1))}
    assert available_memory(system(tmp_path, {"proc/self/cgroup": "0::/mine\n", **files})) == 4000 * MB


def test_a_group_that_is_slowed_down_from_some_memory_on_is_full_there(tmp_path: Path) -> None:
    files = at("", {**group("max", 100), "memory.high": f"{500 * MB}\n"})
    assert available_memory(system(tmp_path, {"proc/self/cgroup": "0::/\n", **files})) == 400 * MB


def test_a_full_group_has_nothing_left(tmp_path: Path) -> None:
    root = system(tmp_path, {"proc/self/cgroup": "0::/\n", **at("", group(100, 101))})
    assert available_memory(root) == 0


@pytest.mark.parametrize("path", ["/docker/4f3c", "/../../docker/4f3c", "/docker/4f3c (deleted)"])
def test_a_container_without_a_namespace_of_its_own_is_the_root_of_what_it_sees(tmp_path: Path, path: str) -> None:
    """/proc/self/cgroup names the group as the host does, and nothing of that name lies below /sys/fs/cgroup."""
    root = system(tmp_path, {"proc/self/cgroup": f"0::{path}\n", **at("", group(600, 100))})
    assert available_memory(root) == 500 * MB


def test_a_group_inside_such_a_container_is_found_by_the_end_of_its_path(tmp_path: Path) -> None:
    files = {**at("", group(600, 100)), **at("batch/job", group(300, 50))}
    root = system(tmp_path, {"proc/self/cgroup": "0::/docker/4f3c/batch/job\n", **files})
    assert available_memory(root) == 250 * MB


def test_version_1_has_a_tree_for_memory_alone(tmp_path: Path) -> None:
    root = system(
        tmp_path,
        {
            "proc/self/cgroup": "5:cpu,cpuacct:/elsewhere\n4:memory:/user/box\n1:name=systemd:/user\n",
            **at("memory/user/box", group_v1(None, 100)),
            **at("memory/user", group_v1(800, 700, inactive_file=1, total_inactive_file=500, total_active_file=50)),
            **at("memory", group_v1(None, 2000)),
        },
    )
    assert available_memory(root) == (800 - 700 + 500 + 50) * MB


def test_version_1_tells_of_limits_above_what_a_container_sees(tmp_path: Path) -> None:
    files = at("memory", group_v1(None, 100, hierarchical_memory_limit=700))
    root = system(tmp_path, {"proc/self/cgroup": "4:memory:/docker/4f3c\n", **files})
    assert available_memory(root) == 600 * MB


def test_both_versions_at_once(tmp_path: Path) -> None:
    """systemd's hybrid: version 2 lies beside the trees of version 1, mostly without controllers."""
    root = system(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/box\n0::/init.scope\n",
            **at("memory/box", group_v1(500, 100)),
            **at("unified/init.scope", {"cgroup.procs": "1\n"}),
        },
    )
    assert available_memory(root) == 400 * MB
    root = system(tmp_path, at("unified/init.scope", group(450, 100)))
    assert available_memory(root) == 350 * MB


def test_files_that_make_no_sense_say_nothing(tmp_path: Path) -> None:
    files = at("", {"memory.max": "lots\n", "memory.current": "\n", "memory.stat": "\x00\nanon\n", "cpu.max": "1\n"})
    root = system(tmp_path, {"proc/self/cgroup": "nonsense\n\n0::\n", **files})
    assert available_memory(root) == 4000 * MB
    assert available_threads(root) == available_threads(tmp_path / "nowhere")


def test_a_limit_on_the_address_space_counts() -> None:
    code = (
        "import resource; from neocog.resources import available_memory\n"
        "resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))\n"
        "print(available_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert 0 < int(done.stdout) < 400 << 20


def test_this_machine_tells_something_plausible() -> None:
    assert 1 << 20 < available_memory() < 1 << 50
    assert 1 <= available_threads() <= os.cpu_count()


# -- processors -------------------------------------------------------------------------------------------------------


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process run on eight processors, as far as its affinity goes."""
    monkeypatch.delenv("NEOCOG_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize(
    ("limit", "threads"),
    [("max 100000", 8), ("250000 100000", 3), ("10000 100000", 1), ("6400000 100000", 8), ("100000 0", 8)],
)
def test_threads_follow_affinity_and_quota(tmp_path: Path, limit: str, threads: int) -> None:
    root = system(tmp_path, {"proc/self/cgroup": "0::/\n", **at("", {"cpu.max": f"{limit}\n"})})
    assert available_threads(root) == threads


@pytest.mark.usefixtures("eight")
def test_the_quota_of_a_group_above_counts(tmp_path: Path) -> None:
    files = {**at("pod/box", {"cpu.max": "max 100000\n"}), **at("pod", {"cpu.max": "200000 100000\n"})}
    assert available_threads(system(tmp_path, {"proc/self/cgroup": "0::/pod/box\n", **files})) == 2


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize("path", ["/", "/docker/4f3c"])
def test_quotas_of_version_1(tmp_path: Path, folder: str, path: str) -> None:
    files = at(folder, {"cpu.cfs_quota_us": "150000\n", "cpu.cfs_period_us": "50000\n"})
    root = system(tmp_path, {"proc/self/cgroup": f"5:cpu,cpuacct:{path}\n", **files})
    assert available_threads(root) == 3
    assert available_threads(system(tmp_path, at(folder, {"cpu.cfs_quota_us": "-1\n"}))) == 8


@pytest.mark.usefixtures("eight")
@pytest.mark.parametrize("told", ["cpu,cpuacct", "cpuacct,cpu", "cpuacct,cpu,net_cls"])
def test_the_folder_of_version_1_names_its_controllers_in_any_order(tmp_path: Path, told: str) -> None:
    files = at("net_cls,cpu,cpuacct" if "net" in told else "cpu,cpuacct", {"cpu.cfs_quota_us": "150000\n"})
    other = {**at("cpuset", {"tasks": ""}), **at("cpuacct", {"tasks": ""})}
    files = {**files, **{f"{Path(path).parent}/cpu.cfs_period_us": "50000\n" for path in files}, **other}
    assert available_threads(system(tmp_path, {"proc/self/cgroup": f"5:{told}:/\n", **files})) == 3


@pytest.mark.usefixtures("eight")
def test_quotas_of_version_1_in_nested_groups(tmp_path: Path) -> None:
    free, tight = {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, {"cpu.cfs_quota_us": "400000\n"}
    files = {**at("cpu/user/box", free), **at("cpu/user", {**free, **tight}), **at("cpu", free)}
    assert available_threads(system(tmp_path, {"proc/self/cgroup": "5:cpu,cpuacct:/user/box\n", **files})) == 4


@pytest.mark.usefixtures("eight")
def test_the_environment_says_a_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for told, threads in (("3", 3), ("64", 64), ("0", 8), ("-2", 8), ("many", 8), ("", 8), ("1e3", 8), ("9" * 5000, 8)):
        monkeypatch.setenv("NEOCOG_THREADS", told)
        assert available_threads(tmp_path) == threads


def test_decoding_asks_the_same_question(monkeypatch: pytest.MonkeyPatch) -> None:
    for told, workers in (("3", 3), ("64", 8), ("1", 1)):
        monkeypatch.setenv("NEOCOG_THREADS", told)
        assert worker_count() == workers


# -- a folder ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return this process a home, and nothing that says where caches lie."""
    for name in ("NEOCOG_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(neocog.system, "family", lambda: "linux")
    return tmp_path


def test_the_cache_lies_in_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == home / ".cache" / "neocog"
    monkeypatch.setattr(neocog.system, "family", lambda: "macos")
    assert cache_folder() == home / "Library" / "Caches" / "neocog"


def test_the_environment_names_the_cache_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "shared"))
    assert cache_folder() == home / "shared" / "neocog"
    for told, folder in (("/over/here", Path("/over/here")), ("~/cc", home / "cc"), ("here", Path("here"))):
        monkeypatch.setenv("NEOCOG_CACHE", told)
        assert cache_folder() == folder


def test_a_relative_xdg_cache_home_is_ignored(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for told in ("cache", "./cache", "~/cache", ""):
        monkeypatch.setenv("XDG_CACHE_HOME", told)
        assert cache_folder() == home / ".cache" / "neocog"


def test_a_home_that_is_no_absolute_path_is_none(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "somewhere")
    assert cache_folder() is None


NOBODY = 54321  # no system has such a user


def run_without_home(code: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run Python without HOME and without a folder for caches."""
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "NEOCOG_CACHE", "XDG_CACHE_HOME")}
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=300, **more)


PREDICT = """
import numpy as np, neocog as nc
from neocog.resources import cache_folder
assert cache_folder() is None
model = nc.Model(nc.Sequential(nc.Conv2d(2, 3), nc.Flatten(), nc.Linear(3)), (6, 6, 1))
print(model.predict(np.zeros((2, 6, 6), np.uint8)).shape)
"""

NO_ENTRY = """
import pwd
def missing(user):
    raise KeyError(f"getpwuid(): uid not found: {user}")
pwd.getpwuid = missing
"""


def test_without_an_entry_or_a_home_everything_works_and_nothing_is_kept() -> None:
    done = run_without_home(NO_ENTRY + PREDICT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(2,)\n", "")


@pytest.mark.parametrize("words", [["info", "digits"], ["check", "digits"], ["train", "digits", "--epochs", "1"]])
def test_the_command_line_works_without_a_home(words: list[str], tmp_path: Path) -> None:
    code = f"import os, sys\nos.chdir({str(tmp_path)!r})\nfrom neocog.app.cli.main import main\nmain({words!r})"
    done = run_without_home(NO_ENTRY + code)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not list(tmp_path.rglob("*.o"))


def test_a_user_whom_the_system_does_not_know_can_predict() -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may become another user")
    other = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    try:
        if run_without_home("import numpy, neocog.resources", **other).returncode:
            pytest.skip("neocog lies where other users may not read it")
    except PermissionError:
        pytest.skip("Python lies where other users may not read it")
    done = run_without_home(PREDICT, **other)
    assert (done.returncode, done.stdout, done.stderr) == (0, "(2,)\n", "")


def test_a_limit_says_what_it_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_AS: resource.RLIM_INFINITY, resource.RLIMIT_DATA: 900 * MB}
    monkeypatch.setattr(resource, "getrlimit", lambda which: (limits[which], resource.RLIM_INFINITY))
    pages = resource.getpagesize()
    root = system(tmp_path, {"proc/self/statm": f"{10**6} 5 4 3 2 {100 * MB // pages} 0\n"})
    assert available_memory(root) == 800 * MB
