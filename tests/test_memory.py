"""What is left of the memory, read from files as Linux writes them."""

import resource

import pytest

from ecct_tf.memory import available_bytes, memory_kills

GIB = 2**30


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A system with 8 GiB free and no control group; files are added by `write`."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, 0))

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("--", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


MEMINFO = {"proc__meminfo": f"MemTotal: 99999999 kB\nMemAvailable:   {8 * 2**20} kB\n"}


def test_a_machine_without_groups_has_what_it_says(root):
    assert available_bytes(root(**MEMINFO)) == 8 * GIB


def test_the_second_version_of_groups_leaves_its_limit_less_its_use(root):
    group = "sys__fs__cgroup__pod__own__memory"
    found = root(
        **MEMINFO,
        proc__self__cgroup="0::/pod/own\n",
        **{
            f"{group}--max": f"{4 * GIB}\n",
            f"{group}--current": f"{3 * GIB}\n",
            f"{group}--stat": f"anon 5\ninactive_file {GIB // 2}\n",
            "sys__fs__cgroup__pod__memory--max": "max\n",
            "sys__fs__cgroup__pod__memory--current": "7\n",
        },
    )
    assert available_bytes(found) == GIB + GIB // 2


def test_a_group_above_counts_too_and_nothing_is_less_than_zero(root):
    found = root(
        **MEMINFO,
        proc__self__cgroup="0::/pod/own\n",
        **{
            "sys__fs__cgroup__pod__own__memory--max": "max\n",
            "sys__fs__cgroup__pod__memory--max": f"{GIB}\n",
            "sys__fs__cgroup__pod__memory--current": f"{2 * GIB}\n",
        },
    )
    assert available_bytes(found) == 0


def test_the_first_version_of_groups(root):
    group = "sys__fs__cgroup__memory__job__memory"
    found = root(
        **MEMINFO,
        proc__self__cgroup="5:devices:/\n4:memory:/job\n0::/\n",
        **{
            f"{group}--limit_in_bytes": f"{2 * GIB}\n",
            f"{group}--usage_in_bytes": f"{GIB}\n",
            "sys__fs__cgroup__memory__memory--limit_in_bytes": f"{2**63 - 4096}\n",
            "sys__fs__cgroup__memory__memory--usage_in_bytes": "5\n",
        },
    )
    assert available_bytes(found) == GIB


def test_the_limit_on_the_address_space(root, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (3 * GIB, 0))
    found = root(**MEMINFO, proc__self__status=f"VmPeak: 5 kB\nVmSize:\t {2**20} kB\n")
    assert available_bytes(found) == 2 * GIB


def test_elsewhere_it_is_unknown(root):
    assert available_bytes(root()) is None
    assert memory_kills(root()) == 0


def test_kills_of_the_system_and_of_groups_are_counted(root):
    found = root(
        proc__vmstat="pgfault 12\noom_kill 3\n",
        proc__self__cgroup="0::/own\n",
        **{"sys__fs__cgroup__own__memory--events": "low 0\noom 2\noom_kill 2\n"},
    )
    assert memory_kills(found) == 5
