"""Runs the base install on 64-bit ARM, emulated: Debian's Python, the aarch64 wheels, tests, and models built here.

    python portable/arm64.py [--root runs/arm64] [--steps imports,minimal,kernels,models] [--networks unet_tiny,…]
                             [--builds onnxruntime_int8_any,…] [--images 2] [--resume] [--json FILE]

Of the models, those named are built here, and are run here and there; `--resume` does not run again what is there of
the same builds and images. The table's rows are added to the file of `--json`, cell by cell.

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
from collections.abc import Sequence
from pathlib import Path

import models
import record
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
_REFERENCES = tuple(f"{engine}_fp32_any" for engine in models.ENGINES)
# The builds of each network; those above are what they are compared with.
VARIANTS = {
    str(each).replace(" ", "_"): each
    for engine in models.ENGINES
    for each in (
        models.Variant(engine, "force_float32", "any"),
        models.Variant(engine, "qint8_mixed_float16", "arm64"),
        models.Variant(engine, "qint8_mixed_float16", "any"),
    )
}
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
    # debootstrap unpacks nothing over what an earlier try left behind.
    shutil.rmtree(root, ignore_errors=True)
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


def models_of_here(root: Path, networks: Sequence[str], builds: Sequence[str]) -> None:
    """Build those of the networks on this machine, and what they are compared with."""
    for subject in (each for each in models.SUBJECTS if each.network in networks):
        source = models.float_artifact(subject, root)
        models.save_images(subject, root, source)
        for name, variant in VARIANTS.items():
            if name in builds or name in _REFERENCES:
                models.built(subject, variant, root, source)


def models_there(folder: Path, given: argparse.Namespace, log: Path) -> int:
    """Open, verify and run the models here and there, and compare; returns the exit code."""
    os.environ["DENSECAST_CACHE"] = str(folder / "cache_here")
    root, networks, builds = folder / "models", given.networks.split(","), given.builds.split(",")
    models_of_here(root, networks, builds)
    out = {name: root / "out" / name for name in (_ARM.name, "native")}
    if not given.resume:
        for each in out.values():
            shutil.rmtree(each, ignore_errors=True)
    everything = ",".join(dict.fromkeys((*_REFERENCES, *builds)))
    words = [str(HERE / "probe.py"), str(root), str(out["native"]), given.networks, everything, str(given.images)]
    subprocess.run([sys.executable, *words], check=True)
    kernels = {name: [str(HERE / "kernels.py"), str(each / "kernels.npz")] for name, each in out.items()}
    if not Path(kernels["native"][1]).exists():
        subprocess.run([sys.executable, *kernels["native"]], check=True)
    words[2], words[4] = str(out[_ARM.name]), given.builds
    code = run(folder, words, given.seconds, log)
    if code == 0 and not Path(kernels[_ARM.name][1]).exists():
        code = run(folder, kernels[_ARM.name], given.seconds, log)
    if code:
        return code
    broken = [f"kernels: {each}" for each in kernels_apart(root, _ARM)]
    # OpenVINO has int8 kernels of its own on ARM: models of x86 are refused, or run in float16 and say so.
    rows = compared(root, _ARM, networks, broken, "openvino_int8", builds=builds)
    print(table(rows))
    if given.json:
        record.write(given.json, rows, given.images)
    for line in broken:
        print(f"BROKEN: {line}", file=sys.stderr)
    return 1 if broken else 0


def main() -> int:
    """Make the root, and take the steps; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=Path("runs/arm64"), help="where all of it is kept")
    parser.add_argument("--steps", default=",".join(STEPS), help=f"some of {', '.join(STEPS)}")
    parser.add_argument("--networks", default="unet_tiny", help="of the models, these, with commas between")
    parser.add_argument("--builds", default=",".join(VARIANTS), help="of the networks, these, with commas between")
    parser.add_argument("--images", type=int, choices=range(1, models.COMPARED + 1), default=models.COMPARED)
    parser.add_argument("--resume", action="store_true", help="of the models, do not run again what is there")
    parser.add_argument("--json", type=Path, help="a file to add the table's rows to, cell by cell")
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
            code = models_there(folder, given, log)
        found[step] = {"exit_code": code, "seconds": round(time.monotonic() - began, 1)}
        print(f"{step}: exit code {code}, {found[step]['seconds']} s; {log}", flush=True)
        (folder / "arm64.json").write_text(json.dumps(found, indent=1))
    return 1 if any(each["exit_code"] for each in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
