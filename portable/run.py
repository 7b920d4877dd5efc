"""Runs built models on other CPUs - emulated by qemu, or this one with less to use - and compares with this machine.

    python portable/run.py [--sample] [--root runs/portable] [--networks fcn_tiny,…] [--cpus Haswell,…]
                           [--builds openvino_int8_any,…] [--images 2] [--parts models,kernels,saturation,old]
                           [--resume] [--json FILE]

`--resume` goes on where a run was ended: what is there of the same builds and images is not run again.

Models are built here. On each CPU they are opened, verified and run on small images, and have to keep what
`docs/cpus.md` promises: float32 labels are equal where the margin is more than 1e-4, int8 changes no more labels
against float32 than twice what it changes here, and full-range int8 weights are refused where they would. The cache of
compiled models is one for all CPUs, as it may be in a shared home. Exit code 1 where a promise is broken; without qemu
the CPUs that can be had are tried, and a loud line says so. Networks whose weights are not shipped are tried where
`DENSECAST_TEST_DATA` has them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import models
import numpy as np
import record
import saturation

import kernels

HERE = Path(__file__).resolve().parent
MARGIN = 1e-4
# Of the labels; an image here has few thousand pixels, so that one of them counts.
LEAST_SHARE = 2e-3
# Kernels for CPUs with AVX2 are compiled here, once: under an emulator the compiler takes minutes.
_AVX2 = {
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx,+avx2,+bmi,+bmi2,+cx16,+f16c,+fma,+fxsr,+lzcnt,+mmx,+movbe,+popcnt,+sahf,+sse,+sse2,"
    "+sse3,+sse4.1,+sse4.2,+ssse3,+xsave",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """A CPU to try: a model of qemu's, or this one with a variable set."""

    name: str
    emulated: str = ""
    variables: tuple[tuple[str, str], ...] = ()


NATIVE = Machine("native")
CAPPED = Machine("AVX-512 without VNNI", variables=(("ONEDNN_MAX_CPU_ISA", "AVX512_CORE"),))
VNNI = Machine("VNNI", variables=(("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_VNNI"),))
HASWELL = Machine("Haswell", "Haswell", tuple(_AVX2.items()))
EPYC = Machine("EPYC", "EPYC", tuple(_AVX2.items()))
OLD = "Nehalem"
_AVX2_CODE = "kernels of AVX2"
# Of builds, those whose weights take all 8 bits.
_NATIVE = "int8_native"
PARTS = ("models", "kernels", "saturation", "old")


@dataclass(frozen=True, slots=True)
class Scope:
    """What is tried on each CPU: builds of networks, on so many images each, and what else; and whether anew."""

    root: Path
    networks: tuple[str, ...]
    builds: tuple[str, ...]
    images: int
    parts: tuple[str, ...]
    resumes: bool


def main() -> int:
    """Build, try and compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sample", action="store_true", help="one network and one emulated CPU: minutes")
    parser.add_argument("--root", type=Path, default=Path("runs/portable"))
    parser.add_argument("--networks", help="these alone, with commas between")
    parser.add_argument("--cpus", help="these alone, with commas between")
    parser.add_argument("--builds", help="these alone, as openvino_int8_any, with commas between; float32 runs here")
    parser.add_argument(
        "--images",
        type=int,
        choices=range(1, models.COMPARED + 1),
        default=models.COMPARED,
        help="how many images each build is run on",
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="what is tried")
    parser.add_argument("--json", type=Path, help="a file to add the table's rows to, cell by cell")
    parser.add_argument("--resume", action="store_true", help="go on: do not run again what is there")
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    subjects = [each for each in models.SUBJECTS[: 1 if arguments.sample else None] if each.is_there]
    machines = [CAPPED, HASWELL] if arguments.sample else [VNNI, CAPPED, HASWELL, EPYC]
    if arguments.networks:
        subjects = [each for each in subjects if each.network in arguments.networks.split(",")]
    if arguments.cpus:
        machines = [each for each in machines if each.name in arguments.cpus.split(",")]
    qemu = shutil.which("qemu-x86_64")
    if qemu is None:
        print("NO qemu-x86_64: other CPUs are NOT TRIED. apt-get install qemu-user", file=sys.stderr)
        machines = [each for each in machines if not each.emulated]
    os.environ["DENSECAST_CACHE"] = str(root / "cache")
    variants = {str(each).replace(" ", "_"): each for each in models.variants()}
    chosen = tuple(arguments.builds.split(",")) if arguments.builds else tuple(variants)
    references = tuple(name for name in variants if "_fp32_" in name)
    scope = Scope(
        root,
        tuple(subject.network for subject in subjects),
        chosen,
        arguments.images,
        tuple(arguments.parts.split(",")),
        arguments.resume,
    )
    for subject in subjects:
        source = models.float_artifact(subject, root)
        models.save_images(subject, root, source)
        for name in dict.fromkeys((*references, *chosen)):
            models.built(subject, variants[name], root, source)
    _probe(NATIVE, replace(scope, builds=tuple(dict.fromkeys((*references, *chosen)))), qemu)
    broken = []
    rows = []
    if any(each.emulated for each in machines):
        # Compiles the kernels that emulated CPUs run, and shows that they give the same here.
        machines.append(Machine(_AVX2_CODE, variables=tuple(_AVX2.items())))
    for machine in sorted(machines, key=lambda each: bool(each.emulated)):
        _probe(machine, scope, qemu)
        rows += compared(root, machine, scope.networks, broken, _NATIVE, builds=chosen)
        if "kernels" in scope.parts:
            broken += [f"{machine.name}: kernels: {each}" for each in kernels_apart(root, machine)]
        if "saturation" in scope.parts and (machine.emulated or machine in (CAPPED, VNNI)):
            held = dict(np.load(_out(root, machine) / "saturation.npz"))
            wrong = saturation.broken(held, saturates=machine is not VNNI)
            broken += [f"{machine.name}: int8 sums: {each}" for each in wrong]
    if qemu and "old" in scope.parts:
        broken += _refused_by_old(root, scope.networks[0], qemu)
    print(table(rows))
    (root / "portable.json").write_text(json.dumps({"rows": rows, "broken": broken}, indent=1))
    if arguments.json:
        record.write(arguments.json, [row for row in rows if row["cpu"] != _AVX2_CODE], arguments.images)
    for line in broken:
        print(f"BROKEN: {line}", file=sys.stderr)
    return 1 if broken else 0


def _out(root: Path, machine: Machine) -> Path:
    return root / "out" / machine.name.replace(" ", "_")


def _probe(machine: Machine, scope: Scope, qemu: str | None) -> None:
    out = _out(scope.root, machine)
    if not scope.resumes:
        shutil.rmtree(out, ignore_errors=True)
    environment = {**os.environ, **dict(machine.variables), "NUMBA_CACHE_DIR": str(scope.root / "kernels")}
    python = interpreter(machine.emulated, qemu, environment)
    if "models" in scope.parts:
        words = [str(scope.root), str(out), ",".join(scope.networks), ",".join(scope.builds), str(scope.images)]
        subprocess.run([*python, str(HERE / "probe.py"), *words], env=environment, check=True)
    for program in ("kernels", "saturation"):
        if program in scope.parts and not (out / f"{program}.npz").exists():
            words = [str(HERE / f"{program}.py"), str(out / f"{program}.npz")]
            subprocess.run([*python, *words], env=environment, check=True)


def interpreter(emulated: str, qemu: str | None, environment: dict[str, str]) -> list[str]:
    """The interpreter, or the real one behind the venv's link under qemu: the kernel starts children without it."""
    if not emulated:
        return [sys.executable]
    assert qemu is not None
    environment["PYTHONPATH"] = os.pathsep.join(each for each in sys.path if each)
    return [qemu, "-cpu", emulated, os.path.realpath(sys.executable)]


def kernels_apart(root: Path, machine: Machine) -> list[str]:
    """What compiled kernels give that they do not give here, in words."""
    here, there = (dict(np.load(_out(root, each) / "kernels.npz")) for each in (NATIVE, machine))
    return kernels.differences(here, there)


def _refused_by_old(root: Path, network: str, qemu: str) -> list[str]:
    """A CPU without AVX is told so at once, with exit code 3."""
    environment = {**os.environ}
    folder = root / network / "openvino_fp32_any"
    command = [*interpreter(OLD, qemu, environment), "-m", "densecast", "verify", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 3 and "AVX2" in done.stderr and "Traceback" not in done.stderr:
        return []
    return [f"{OLD}: exit code {done.returncode}, {done.stderr.strip().splitlines()[-1:]}"]


def compared(
    root: Path,
    machine: Machine,
    networks: Sequence[str],
    broken: list[str],
    may_be_refused: str,
    builds: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """One row a model; promises that do not hold are added to `broken`.

    Builds with `may_be_refused` in their name may be refused, or be said by `verify` to run in another precision. Of
    `builds` alone, where some are named.
    """
    out = _out(root, machine)
    if not (out / "results.json").exists():
        return []
    results = json.loads((out / "results.json").read_text())
    rows = []
    for name, told in results["models"].items():
        network, variant = name.split("__")
        if network not in networks or (builds and variant not in builds):
            continue
        row: dict[str, Any] = {"cpu": machine.name, "network": network, "variant": variant, **told}
        rows.append(row)
        is_excused = may_be_refused in variant
        if told["outcome"] == "failed" or (told.get("verify") and not is_excused):
            broken.append(f"{machine.name}: {name}: {told.get('told') or told['verify']}")
        if told["outcome"] == "refused" and not is_excused:
            broken.append(f"{machine.name}: {name}: {told['told']}")
        native = _out(root, NATIVE)
        if told["outcome"] == "failed" or not (native / f"{name}.npz").exists():
            continue
        float32 = np.load(native / f"{network}__{variant.split('_')[0]}_fp32_any.npz")
        here = np.load(native / f"{name}.npz")
        row["changed_here"] = _changed(float32, here)
        if told["outcome"] != "ran":
            continue
        there = np.load(out / f"{name}.npz")
        if not all(np.array_equal(here[key], there[key]) for key in there.files if key.startswith("feed")):
            broken.append(f"{machine.name}: {name}: preprocessing gives other numbers")
        row["changed"] = _changed(float32, there)
        row["output_l2"] = _relative(here, there)
        if "fp32" in variant and (wrong := _sure_changes(here, there)):
            broken.append(f"{machine.name}: {name}: {wrong} labels differ where the margin is more than {MARGIN:g}")
        if "int8" in variant and not is_excused and not row["changed"] <= 2 * max(row["changed_here"], LEAST_SHARE):
            broken.append(
                f"{machine.name}: {name}: changes {row['changed']:.2%} of labels, {row['changed_here']:.2%} here"
            )
    return rows


def _changed(left: Any, right: Any) -> float:
    """The share of labels that differ; of people, the relative L2 difference of the network's output."""
    keys = [key for key in right.files if key.startswith("class_id")]
    if not keys:
        return _relative(left, right)
    return float(np.mean(np.concatenate([(left[key] != right[key]).ravel() for key in keys])))


def _relative(left: Any, right: Any) -> float:
    keys = [key for key in right.files if key.startswith("output")]
    one, other = (np.concatenate([each[key].ravel().astype(np.float64) for key in keys]) for each in (left, right))
    return float(np.linalg.norm(other - one) / np.linalg.norm(one))


def _sure_changes(left: Any, right: Any) -> int:
    """Labels that differ where the two largest logits of the network's output around them are further apart."""
    from densecast.tasks.segmentation.margins import margins

    count = 0
    for key in (each for each in right.files if each.startswith("class_id")):
        places = np.argwhere(left[key] != right[key])
        logits = left[key.replace("class_id", "output")].astype(np.float64)
        count += int((margins(logits, places, left[key].shape, align_corners=False) > MARGIN).sum())
    return count


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = ["| network | build | CPU | outcome | changed against float32 | the same here | output, relative L2 |"]
    lines.append("|---|---|---|---|---:|---:|---:|")
    for row in rows:
        figures = ("", "", "")
        if "changed" in row:
            figures = (f"{row['changed']:.3%}", f"{row['changed_here']:.3%}", f"{row['output_l2']:.1e}")
        what = (row["network"], row["variant"].replace("_", " "), row["cpu"], row["outcome"], *figures)
        lines.append(f"| {' | '.join(what)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
