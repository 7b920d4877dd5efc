"""What `doctor` says of a machine and an installation, line by line, from made-up findings."""

from __future__ import annotations

from dataclasses import replace

from densecast.backends._base import Capabilities
from densecast.runtime.machine import Machine
from densecast.verbs import doctor

FOUND = doctor.Diagnosis(
    Machine("A CPU", 3, 4, ("avx2", "fma"), 7.5, "Linux", "3.12.1", {"numpy": "2.1", "onnx": "1.17"}),
    ("vnni", "haswell"),
    2.5,
    "Files are read apart.",
    {
        "one": Capabilities("1.2", ("CPU", "GPU"), ("auto", "int8"), ("takes its time",)),
        "other": Capabilities("", (), (), ("not told",), "It is not installed."),
    },
    {"grpc": ("grpc",), "remote": ()},
)


def test_findings_are_told_in_order() -> None:
    assert doctor.describe(FOUND).splitlines() == [
        "CPU       A CPU",
        "          3 usable of 4 (affinity and control group: quota 2.5)",
        "          avx2 fma",
        "          runs builds for --cpu vnni, haswell and any; native is vnni",
        "memory    7.5 GiB",
        "system    Linux, Python 3.12.1",
        "foreign   model files are confined. Files are read apart.",
        "backend   one 1.2: CPU, GPU; auto, int8",
        "          takes its time",
        "backend   other: missing. It is not installed.",
        "extra     [grpc] serving over gRPC: lacks grpc: pip install 'densecast[grpc]'",
        "extra     [remote] stores, models and images behind URLs: installed",
        "versions  numpy 2.1, onnx 1.17",
    ]


def test_what_is_not_there_is_told_too() -> None:
    bare = replace(
        FOUND,
        machine=replace(FOUND.machine, cpu_flags=()),
        cpu_targets=(),
        cgroup_quota_cpus=None,
        extras={"grpc": ("grpc",), "remote": ("fsspec",)},
    )
    lines = doctor.describe(bare).splitlines()
    assert lines[1].endswith("(affinity and control group: no quota)")
    assert [each.strip() for each in lines[2:4]] == [
        "none of the noted instruction sets",
        "too old for the engines: x86 needs AVX2",
    ]
    assert lines[-2] == "          all of these: pip install 'densecast[grpc,remote]'"
