"""Runs the base install on 64-bit ARM, emulated: Debian's Python, the aarch64 wheels, tests, and models built here.

    python portable/arm64.py [--root runs/arm64] [--steps imports,minimal,kernels,models] [--resume]

Needs `qemu-aarch64-static` and `debootstrap` (apt-get install qemu-user-static debootstrap); without them a loud line
says so, and nothing is tried. Nothing is installed into the machine: packages are unpacked into a folder, and the
emulator finds libraries there. An hour or two on a busy core. Exit code 1 where a step fails.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import models
from run import Machine, compared, kernels_apart, table

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
SUITE = "bookworm"
CPU = "neoverse-n1"
# ONNX Runtime reads this file to know the CPU, and ends where it is an x86 machine's.
_CPUINFO = """\
processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

"""
_GLIBC = (17, 28, 31, 34, 35, 36)
_ARM = Machine("ARM64")
STEPS = ("imports", "minimal", "kernels", "models")
# Exports and servers of foreign files fork a confined process, whose system calls the emulator does not have.
_MINIMAL = ("tests/minimal", "-k", "module_imports or public_names or doctor")
_KERNELS = (
    *(f"tests/kernels/test_{name}.py" for name in ("float32", "assignment", "affine_cv4", "pose_grouping", "labels")),
    *("tests/tasks/test_pose.py", "tests/spec/test_pose_geometry.py"),
    *("-p", "emulated_profile", "-k", "not permuted and not one_winner and not every_number and not random"),
)


def make_root(root: Path) -> None:
    """Debian's base system with Python, unpacked; nothing of it is run."""
    if (root / "usr" / "bin" / "python3.11").exists():
        return
    include = "python3,libgomp1,libstdc++6,zlib1g"
    command = ["debootstrap", "--arch=arm64", "--foreign", "--variant=minbase", f"--include={include}", SUITE]
    subprocess.run([*command, str(root)], check=True)
    for package in sorted((root / "var" / "cache" / "apt" / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", str(package), str(root)], check=True)


def make_site(root: Path, site: Path) -> None:
    """The aarch64 wheels of the base install, and pytest; and how Python starts itself again under the emulator."""
    (root / "proc").mkdir(exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(_CPUINFO * 2)
    if not (site / "ready").exists():
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        needed = [*project["dependencies"], "pytest", "hypothesis", "scipy"]
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(site), "--only-binary=:all:"]
        command += [
            "--implementation",
            "cp",
            "--python-version",
            "3.11",
            "--constraint",
            str(PROJECT / "constraints.txt"),
        ]
        for version in _GLIBC:
            command += ["--platform", f"manylinux_2_{version}_aarch64"]
        subprocess.run([*command, "--platform", "manylinux2014_aarch64", *needed], check=True)
        (site / "ready").touch()
    (site / "sitecustomize.py").write_text(f"import sys\n\nsys.executable = {str(site.parent / 'python')!r}\n")
    # Drawing examples takes long there, and is no fault.
    (site / "emulated_profile.py").write_text(
        "from hypothesis import HealthCheck, settings\n\n"
        "settings.register_profile('emulated', suppress_health_check=list(HealthCheck), deadline=None)\n"
        "settings.load_profile('emulated')\n"
    )
    start = site.parent / "python"
    start.write_text(
        f'#!/bin/sh\nexec qemu-aarch64-static -cpu {CPU} -L "{root}" "{root}/usr/bin/python3.11" "$@"\n',
        encoding="utf-8",
    )
    start.chmod(0o755)


def run(folder: Path, arguments: list[str], seconds: float, log: Path) -> int:
    """`python ARGUMENTS` under the emulator; the exit code, 124 if it took too long."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NUMBA", "VIRTUAL_ENV"))
    }
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "src"), str(folder / "site")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": str(folder / "kernels"),
        "DENSECAST_CACHE": str(folder / "cache"),
    }
    with log.open("w", encoding="utf-8") as stream:
        try:
            return subprocess.run(
                [str(folder / "python"), *arguments],
                cwd=PROJECT,
                env=environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return 124


def models_of_here(folder: Path, networks: int) -> list[str]:
    """Build the shipped networks on this machine, for `arm64` and for `any`; returns their names."""
    os.environ["DENSECAST_CACHE"] = str(folder / "cache_here")
    root = folder / "models"
    for subject in models.SUBJECTS[:networks]:
        source = models.float_artifact(subject, root)
        models.save_images(subject, root, source)
        for engine in models.ENGINES:
            for cpu in ("arm64", "any"):
                models.built(subject, models.Variant(engine, "qint8_mixed_float16", cpu), root, source)
            models.built(subject, models.Variant(engine, "force_float32", "any"), root, source)
    return [subject.network for subject in models.SUBJECTS[:networks]]


def models_there(folder: Path, networks: int, seconds: float, log: Path, *, resumes: bool) -> int:
    """Open, verify and run the models there and here, and compare; returns the exit code."""
    names, root = models_of_here(folder, networks), folder / "models"
    if not resumes:
        shutil.rmtree(root / "out", ignore_errors=True)
    words = [str(HERE / "probe.py"), str(root), str(root / "out" / _ARM.name), ",".join(names)]
    code = run(folder, words, seconds, log)
    if code:
        return code
    code = run(folder, [str(HERE / "kernels.py"), str(root / "out" / _ARM.name / "kernels.npz")], seconds, log)
    if code:
        return code
    words[2] = str(root / "out" / "native")
    subprocess.run([sys.executable, *words], check=True)
    subprocess.run([sys.executable, str(HERE / "kernels.py"), str(root / "out" / "native" / "kernels.npz")], check=True)
    broken = [f"kernels: {each}" for each in kernels_apart(root, _ARM)]
    # OpenVINO has int8 kernels of its own on ARM: models of x86 are refused, or run in float16 and say so.
    rows = compared(root, _ARM, names, broken, "openvino_int8")
    print(table(rows))
    for line in broken:
        print(f"BROKEN: {line}", file=sys.stderr)
    return 1 if broken else 0


def main() -> int:
    """Make the root, and take the steps; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=Path("runs/arm64"), help="where all of it is kept")
    parser.add_argument("--steps", default=",".join(STEPS), help=f"some of {', '.join(STEPS)}")
    parser.add_argument("--networks", type=int, default=1, help="how many of the shipped networks are run")
    parser.add_argument("--resume", action="store_true", help="of the models, do not run again what is there")
    parser.add_argument("--seconds", type=float, default=3600, help="the most that one step may take")
    given = parser.parse_args()
    missing = [each for each in ("qemu-aarch64-static", "debootstrap", "dpkg-deb") if shutil.which(each) is None]
    if missing:
        print(f"NO {', '.join(missing)}: 64-bit ARM is NOT TRIED.", file=sys.stderr)
        return 0
    folder = given.root.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    make_root(folder / "root")
    make_site(folder / "root", folder / "site")
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    found: dict[str, dict[str, object]] = {}
    for step in given.steps.split(","):
        began = time.monotonic()
        log = folder / f"{step}.log"
        if step == "imports":
            told = "import densecast; from densecast.runtime import machine; print(machine.describe(), machine.kinds())"
            code = run(folder, ["-c", told], given.seconds, log)
        elif step == "minimal":
            code = run(folder, [*pytest, *_MINIMAL], given.seconds, log)
        elif step == "kernels":
            code = run(folder, [*pytest, *_KERNELS], given.seconds, log)
        else:
            code = models_there(folder, given.networks, given.seconds, log, resumes=given.resume)
        found[step] = {"exit_code": code, "seconds": round(time.monotonic() - began, 1)}
        print(f"{step}: exit code {code}, {found[step]['seconds']} s; {log}", flush=True)
        (folder / "arm64.json").write_text(json.dumps(found, indent=1))
    return 1 if any(each["exit_code"] for each in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
