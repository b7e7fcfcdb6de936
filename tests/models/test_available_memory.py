"""The limits of the groups that a process is in, as the kernel's files tell them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracetui.models.weights.available_memory import available_bytes
from tracetui.models.weights.control_groups import UNLIMITED, groups_available
from tracetui.models.weights.memory_nodes import nodes_available

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


@pytest.mark.parametrize(("path", "group"), [("/", "job_7"), ("/step_0", "job_7/step_0")])
def test_a_namespace_of_its_own_over_a_mount_from_before_it(tmp_path: Path, path: str, group: str) -> None:
    """bwrap --unshare-cgroup: the path begins at a group whose name nobody tells, somewhere below what is mounted."""
    files = {
        "slurm__memoryDOTmax": "max", "slurm__job_6__cgroupDOTprocs": "1\n2\n", "slurm__job_6__memoryDOTmax": "5",
        "slurm__job_6__memoryDOTcurrent": "1", "slurm__job_7__memoryDOTmax": "900",
        "slurm__job_7__memoryDOTcurrent": "200",
    }  # fmt: skip
    files[f"slurm/{group}/cgroupDOTprocs"] = f"1\n{os.getpid()}\n"
    assert groups_available(machine(tmp_path, f"0::{path}\n", v2(root="/../.."), **files)) == 700


def test_beyond_a_namespace_without_a_mount_of_ones_own_nothing_is_known(tmp_path: Path) -> None:
    files = {"other__memoryDOTmax": "5", "other__memoryDOTcurrent": "1", "other__cgroupDOTprocs": "1"}
    assert groups_available(machine(tmp_path, "0::/\n", v2(root="/.."), **files)) == UNLIMITED


NONE = 9223372036854771712
"""What version 1 has for no limit."""


def v1(folder: Path, stat: str = "", **files: str) -> Path:
    """A process in the group `/job/step` of version 1, and numbers of both groups by `job` or `step` and their name."""
    mount = V1.format(root="/", mount="/sys/fs/cgroup/memory")
    places = {"job": "memory__job__memory", "step": "memory__job__step__memory"}
    named = {name.partition("_")[::2]: text for name, text in files.items()}
    paths = {f"{places[group]}DOT{name.replace('memsw_', 'memswDOT')}": text for (group, name), text in named.items()}
    return machine(folder, "4:memory:/job/step\n", mount, memory__job__step__memoryDOTstat=stat, **paths)


def test_version_1_s_number_for_no_limit_is_none(tmp_path: Path) -> None:
    stat = f"hierarchical_memory_limit {NONE}\nhierarchical_memsw_limit {NONE}\n"
    root = v1(tmp_path, stat, step_limit_in_bytes=str(NONE), step_usage_in_bytes="500")
    assert groups_available(root) > 2**62


def test_memory_and_swap_together_are_limited_too(tmp_path: Path) -> None:
    """What lies in swap counts against it, and there is no more to go there."""
    files = {"step_limit_in_bytes": "1000", "step_usage_in_bytes": "500"}
    swap = {"step_memsw_limit_in_bytes": "1200", "step_memsw_usage_in_bytes": "900"}
    assert groups_available(v1(tmp_path / "a", **files, **swap)) == 300
    assert groups_available(v1(tmp_path / "b", "hierarchical_memsw_limit 1000\n", **files, **swap)) == 100
    assert groups_available(v1(tmp_path / "c", **files)) == 500


@pytest.mark.parametrize(("counts", "left"), [("0", 700), ("1", 100)])
def test_a_group_that_does_not_count_the_groups_in_it_limits_none_of_them(
    tmp_path: Path, counts: str, left: int
) -> None:
    root = v1(
        tmp_path,
        job_limit_in_bytes="500", job_usage_in_bytes="400", job_use_hierarchy=counts,
        step_limit_in_bytes="1000", step_usage_in_bytes="300", step_use_hierarchy="0",
    )  # fmt: skip
    assert groups_available(root) == left


def test_half_of_what_the_kernel_keeps_of_files_names_is_no_use(tmp_path: Path) -> None:
    stat = "inactive_file 100\nslab_reclaimable 400\n"
    files = {"job__memoryDOTmax": "1000", "job__memoryDOTcurrent": "900", "job__memoryDOTstat": stat}
    assert groups_available(machine(tmp_path, "0::/job\n", v2(), **files)) == 1000 - (900 - 100 - 200)


def test_a_mixture_of_both_versions_is_read_where_the_limits_are(tmp_path: Path) -> None:
    """systemd's hybrid: version 2 has the groups, version 1 the memory."""
    root = machine(
        tmp_path,
        "4:memory:/user.slice/run.scope\n1:name=systemd:/user.slice/run.scope\n0::/user.slice/run.scope\n",
        v2(mount="/sys/fs/cgroup/unified"),
        "30 31 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
        V1.format(root="/", mount="/sys/fs/cgroup/memory"),
        **{
            "unified__user.slice__run.scope__cgroup.procs": "1",
            "memory__user.slice__memoryDOTlimit_in_bytes": "700",
            "memory__user.slice__memoryDOTusage_in_bytes": "300",
        },
    )
    assert groups_available(root) == 400


def nodes(folder: Path, allowed: str, **node_files: str) -> Path:
    """A machine with the memory nodes 0 and 1, of which a process may use some."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/status").write_text(f"Name:\tpython\nMems_allowed:\t1\nMems_allowed_list:\t{allowed}\n")
    for number in (0, 1):
        node = folder / f"sys/devices/system/node/node{number}"
        node.mkdir(parents=True)
        lines = {"MemTotal": 900, "MemFree": 10 + number, "Active(file)": 5, "Inactive(file)": 2, "Active(anon)": 70}
        (node / "meminfo").write_text("".join(f"Node {number} {name}:  {kb} kB\n" for name, kb in lines.items()))
    (folder / "sys/devices/system/node/has_memory").write_text("0-1\n")
    return folder


@pytest.mark.parametrize(
    ("allowed", "available"),
    [("1", 18 * 1024), ("0", 17 * 1024), ("0-1", UNLIMITED), ("0-63", UNLIMITED), ("", UNLIMITED)],
)
def test_memory_beside_other_processors_is_no_use_to_who_may_not_have_it(
    tmp_path: Path, allowed: str, available: int
) -> None:
    assert nodes_available(nodes(tmp_path, allowed)) == available


def test_where_no_nodes_are_told_all_may_be_used(tmp_path: Path) -> None:
    assert nodes_available(tmp_path) == UNLIMITED
