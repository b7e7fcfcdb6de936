"""The limits of the groups that a process is in, as the kernel's files tell them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tracetui.models.weights.available_memory import UNLIMITED, available_bytes, groups_available

V1 = "32 31 0:29 {root} {mount} rw,relatime - cgroup cgroup rw,memory"
V2 = "41 31 0:38 {root} {mount} rw,relatime - cgroup2 cgroup2 rw"


def machine(folder: Path, cgroup: str, *mounts: str, **files: str) -> Path:
    """A root with the process's groups, what is mounted, and files by their paths with `__` for `/`."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(cgroup)
    (folder / "proc/self/mountinfo").write_text("\n".join(mounts))
    for name, text in files.items():
        path = folder / "sys/fs/cgroup" / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def v2(root: str = "/", mount: str = "/sys/fs/cgroup") -> str:
    return V2.format(root=root, mount=mount)


def test_a_limit_on_any_group_around_the_process_counts(tmp_path: Path) -> None:
    """A systemd scope without a limit in a slice with one."""
    root = machine(
        tmp_path,
        "0::/user.slice/user-1000.slice/run.scope\n",
        v2(),
        **{
            "user.slice__memoryDOTmax": "max\n",
            "user.slice__memoryDOTcurrent": "999\n",
            "user.slice__user-1000.slice__memoryDOTmax": "1000\n",
            "user.slice__user-1000.slice__memoryDOTcurrent": "400\n",
            "user.slice__user-1000.slice__run.scope__memoryDOTmax": "5000\n",
            "user.slice__user-1000.slice__run.scope__memoryDOTcurrent": "100\n",
        },
    )
    assert groups_available(root) == 600


def test_files_that_the_kernel_drops_are_no_use_unless_they_are_mapped(tmp_path: Path) -> None:
    """A checkpoint that was read twice stands among the active ones, beside the libraries that run."""
    root = machine(
        tmp_path,
        "0::/job\n",
        v2(),
        job__memoryDOTmax="1000",
        job__memoryDOTcurrent="900",
        job__memoryDOTstat="anon 200\nfile_mapped 20\ninactive_file 400\nactive_file 300\n",
    )
    assert groups_available(root) == 1000 - (900 - 400 - 280)


def test_a_group_that_is_slowed_down_beyond_a_size_is_not_planned_beyond_it(tmp_path: Path) -> None:
    files = {"job__memoryDOTmax": "5000", "job__memoryDOThigh": "1000", "job__memoryDOTcurrent": "400"}
    assert groups_available(machine(tmp_path / "a", "0::/job\n", v2(), **files)) == 600
    files["job__memoryDOThigh"] = "max"
    assert groups_available(machine(tmp_path / "b", "0::/job\n", v2(), **files)) == 4600


def test_version_1_tells_of_a_limit_around_a_container_that_is_out_of_sight(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        "5:memory:/docker/abc\n",
        V1.format(root="/docker/abc", mount="/sys/fs/cgroup/memory"),
        memory__memoryDOTlimit_in_bytes=str(2**63 - 4096),
        memory__memoryDOTusage_in_bytes="300",
        memory__memoryDOTstat="total_inactive_file 100\nhierarchical_memory_limit 1000\n",
    )
    assert groups_available(root) == 800


SLURM = "/system.slice/slurmstepd.scope/job_7"


@pytest.mark.parametrize("cgroup", [f"0::{SLURM}/step_0/user/task_0", f"0::{SLURM}/step_0 (deleted)"])
def test_a_slurm_step_is_held_to_its_job_s_limit(tmp_path: Path, cgroup: str) -> None:
    job = "system.slice__slurmstepd.scope__job_7__"
    files = {f"{job}memoryDOTmax": "1000", f"{job}memoryDOTcurrent": "100", f"{job}step_0__memoryDOTmax": "max"}
    assert groups_available(machine(tmp_path, f"{cgroup}\n", v2(), **files)) == 900


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc tells what is held")
def test_a_limit_of_the_shell_counts() -> None:
    """`ulimit -v`, as clusters set it: beyond it nothing is given, whatever the machine has."""
    code = (
        "import resource, os; from tracetui.models.weights.available_memory import available_bytes;"
        "held = int(open('/proc/self/statm').read().split()[0]) * os.sysconf('SC_PAGE_SIZE');"
        "resource.setrlimit(resource.RLIMIT_AS, (held + 2**26, resource.RLIM_INFINITY)); print(available_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 2**25 < int(done.stdout) <= 2**26


def test_version_1_is_read_where_its_memory_controller_is_mounted(tmp_path: Path) -> None:
    """A SLURM step; the other hierarchies have groups of the same names, and no say."""
    root = machine(
        tmp_path,
        "5:cpu,cpuacct:/slurm/job_7\n4:memory:/slurm/job_7/step_0\n0::/elsewhere\n",
        "33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu",
        V1.format(root="/", mount="/sys/fs/cgroup/memory"),
        **{
            "memory__memory.limit_in_bytes": str(2**63 - 4096),
            "memory__memory.usage_in_bytes": "5",
            "memory__slurm__job_7__memory.limit_in_bytes": "900",
            "memory__slurm__job_7__memory.usage_in_bytes": "300",
            "memory__slurm__job_7__memory.stat": "cache 9\ntotal_inactive_file 100\n",
            "memory__slurm__job_7__step_0__memory.limit_in_bytes": str(2**63 - 4096),
            "memory__slurm__job_7__step_0__memory.usage_in_bytes": "200",
        },
    )
    assert groups_available(root) == 700


@pytest.mark.parametrize("path", ["/kubepods/pod1/abc", "/../other", "/"])
def test_in_a_container_its_own_mount_is_in_sight(tmp_path: Path, path: str) -> None:
    root = machine(tmp_path, f"0::{path}\n", v2(root="/kubepods/pod1/abc"), memoryDOTmax="700", memoryDOTcurrent="200")
    assert groups_available(root) == 500


def test_a_place_with_a_blank_is_found(tmp_path: Path) -> None:
    root = machine(
        tmp_path, "0::/\n", v2(mount="/sys/fs/cgroup/my\\040group"), **{"my group__memoryDOTmax": "70",
                                                                        "my group__memoryDOTcurrent": "20"}
    )  # fmt: skip
    assert groups_available(root) == 50


@pytest.mark.parametrize("cgroup", ["", "nonsense", "0::/gone\n", "x:y\n::\n"])
def test_without_limits_the_machine_alone_counts(tmp_path: Path, cgroup: str) -> None:
    assert groups_available(machine(tmp_path, cgroup, v2(), "a line without fields")) == UNLIMITED
    assert groups_available(tmp_path / "nowhere") == UNLIMITED
    assert 0 < available_bytes() < UNLIMITED
