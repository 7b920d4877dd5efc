"""Opens models on CPUs that may compute something else: the stored answer decides, once on each machine.

What a model's numbers depend on is in its manifest. Where this CPU has all of it nothing is done, as always on the
machine that built it. Elsewhere the model answers the stored test input, and the verdict is kept in the cache.
"""

from __future__ import annotations

import logging
import platform
from dataclasses import dataclass

from densecast.artifact import GOLDEN, CompiledArtifact, CompiledManifest, stored_answer
from densecast.artifact.stored_answer import Forward
from densecast.errors import WrongCpuError
from densecast.io import cache, files
from densecast.runtime import machine
from densecast.spec import cpu as cpus
from densecast.spec import limits
from densecast.spec.cpu import Ability
from densecast.spec.precision import short

_log = logging.getLogger(__name__)

_KIND = "answers_elsewhere"
_WORDS: dict[Ability, str] = {
    "wide_int8_sums": "int8 sums of 32 bits (VNNI, AMX or ARM)",
    "bfloat16": "bfloat16",
    "float16": "float16",
}
# Of the stored answer, where int8 sums may saturate: on AVX-512 and AVX2 they moved that of the shipped networks by
# 0.044 to 0.35, and all that rounds otherwise there by 0.0073 at most. On ARM OpenVINO's int8 kernels moved fcn_tiny's
# by 0.07, and three times as many labels changed as on x86.
_INT8 = 0.02
# Engines whose builds of before there were targets took int8 weights by the CPU that built them.
_OF_BEFORE = ("openvino", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a model agrees with its stored answer on this machine, and by how much it differs, in words."""

    agrees: bool
    told: str


def needs(manifest: CompiledManifest) -> tuple[Ability, ...]:
    """What the numbers of a model depend on; of older manifests as the CPU that built it implies."""
    if manifest.target is not None:
        return manifest.target.needs
    if manifest.build.backend not in _OF_BEFORE:
        return ()
    built_on = cpus.able(manifest.machine.cpu_flags)
    is_int8 = manifest.build.precision == "qint8_mixed_float16"
    half = manifest.settings.get("INFERENCE_PRECISION_HINT", "")
    found = cpus.needs("vnni", is_int8=is_int8, half_type=half)
    return tuple(each for each in found if each in built_on)


def lacking(manifest: CompiledManifest) -> tuple[Ability, ...]:
    """What the numbers of a model depend on, and this CPU does not compute."""
    found = needs(manifest)
    here = machine.able() if found else frozenset[Ability]()
    missing = tuple(each for each in found if each not in here)
    is_int8 = manifest.build.precision == "qint8_mixed_float16" and manifest.build.backend in _OF_BEFORE
    if is_int8 and manifest.machine.system.split()[-1:] != [platform.machine()]:
        missing += ("same_architecture",)
    return missing


def tolerance(manifest: CompiledManifest) -> float:
    """The largest relative L2 difference from the stored answer that this CPU may show."""
    usual = stored_answer.TOLERANCE[manifest.build.precision]
    return min(usual, _INT8) if {"wide_int8_sums", "same_architecture"} & set(lacking(manifest)) else usual


def refuse_known(artifact: CompiledArtifact, package: str) -> bool:
    """Whether this machine is known to agree; `package` is the engine's, whose version decides what it computes.

    Raises:
        WrongCpuError: it is known to compute something else.
    """
    verdict = cache.read_record(_KIND, _key(artifact, package), Verdict)
    if verdict is not None and not verdict.agrees:
        raise _wrong(artifact, verdict)
    return verdict is not None


def compare(artifact: CompiledArtifact, package: str, forward: Forward) -> None:
    """Compare what the model answers here with what is stored, and keep the verdict.

    Raises:
        WrongCpuError: it is something else, or nothing is stored that could tell.
    """
    if GOLDEN not in artifact.manifest.files:
        raise _wrong(artifact, Verdict(False, "no answer is stored with it that could tell whether this one agrees"))
    difference = stored_answer.error(artifact, forward)
    assert difference is not None
    allowed = tolerance(artifact.manifest)
    agrees = limits.is_at_most("answer", difference, allowed)
    verdict = Verdict(agrees, f"its answer to the test image is off by {difference:.2g} (at most {allowed:g})")
    cache.write_record(_KIND, _key(artifact, package), verdict)
    if not agrees:
        raise _wrong(artifact, verdict)
    _log.info("%s was built for another CPU; %s.", artifact.folder, verdict.told)


def _key(artifact: CompiledArtifact, package: str) -> str:
    stored = artifact.manifest.files.get(GOLDEN, "")
    return files.sha256_text(repr((artifact.meaning, stored, machine.versions((package,)), *machine.cpu())))


def _wrong(artifact: CompiledArtifact, verdict: Verdict) -> WrongCpuError:
    manifest, here = artifact.manifest, f"{machine.cpu()[0]}, {platform.machine()}"
    missing = lacking(manifest)
    why = [f"needs {_WORDS[each]}, which this CPU lacks" for each in missing if each in _WORDS]
    cure = "Build it with --cpu any, or on this CPU."
    if "same_architecture" in missing:
        built_on = manifest.machine.system.split()[-1:]
        why.append(f"was built on {' '.join(built_on) or 'another architecture'}, whose kernels compute otherwise")
        cure = "Build it on this CPU, or with -b onnxruntime."
    return WrongCpuError(
        f"{artifact.folder} is refused on this CPU ({here}): in {short(manifest.build.precision)} it "
        f"{' and '.join(why)}; {verdict.told}. {cure}",
        field="cpu",
    )
