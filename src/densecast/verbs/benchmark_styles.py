"""Prints benchmark results in the output formats of other tools, for scripts that parse them.

One measurement lies under all of them; each tool's own definition says which of its figures is printed where.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from densecast.errors import UnknownNameError
from densecast.io import vendor_formats
from densecast.io.vendor_formats import AscendStages
from densecast.results.timing import Timing

STYLES = ("densecast", "ascend", "mm_run", "trtexec", "benchmark_app")


@dataclass(frozen=True, slots=True)
class Styled:
    """The text to print, and the files that the tool would write, by name."""

    text: str
    files: dict[str, str] = field(default_factory=dict)


def check(style: str) -> str:
    """Check a style's name.

    Raises:
        UnknownNameError: there is none.
    """
    if style not in STYLES:
        raise UnknownNameError.among("style", style, STYLES)
    return style


def styled(timing: Timing, style: str, model: str, device: int = 0) -> Styled:
    """Format `timing` of `model` in a style; Ascend's file names contain the device number.

    Raises:
        UnknownNameError: no such style, or `densecast`, which is not one of another tool.
    """
    if style == "ascend":
        return _ascend(timing, model, device)
    if style == "mm_run":
        return Styled(_mm_run(timing))
    if style == "trtexec":
        return Styled(_trtexec(timing))
    if style == "benchmark_app":
        return Styled(_benchmark_app(timing))
    raise UnknownNameError.among("style", style, STYLES[1:])


def _ascend(timing: Timing, model: str, device: int) -> Styled:
    """Both files: over the images, and of inference alone. `e2e` is wall time; `post` counts batches.

    Without images, on made-up data, there is the second alone, as the tool's `-round` writes it.
    """
    pure = vendor_formats.ascend_pure(timing.inference_only_per_s, 1000 / timing.inference_only_per_s)
    pure_file = vendor_formats.ascend_pure_file(model, device)
    if "decode" not in timing.samples_ms:
        return Styled(pure.rstrip("\n"), {pure_file: pure})
    read, preprocess, post = (
        float(np.mean(timing.samples_ms[name])) for name in ("decode", "preprocess", "postprocess")
    )
    infer = float(np.sum(timing.samples_ms["infer"])) / timing.images
    total_ms = 1000 * timing.images / timing.images_per_s
    # Copies to and from a device are inside the engine's call here, so the module's time is the interface's.
    stages = AscendStages(
        e2e_per_s=timing.images_per_s,
        e2e_total_ms=total_ms,
        read_per_s=1000 / read,
        read_ms=read,
        preprocess_per_s=1000 / preprocess,
        preprocess_ms=preprocess,
        infer_per_s=1000 / infer,
        interface_per_s=1000 / infer,
        infer_ms=infer,
        post_per_s=1000 / (post * timing.batch),
        post_ms=post * timing.batch,
    )
    lines = vendor_formats.ascend_stages(stages)
    return Styled(
        f"{lines}{pure}".rstrip("\n"), {vendor_formats.ascend_file(timing.batch, device): lines, pure_file: pure}
    )


def _mm_run(timing: Timing) -> str:
    """Queries are images: processed batch items over wall time, of inference alone."""
    calls = timing.samples_ms["infer"]
    iterations = len(calls)
    return "\n".join(
        [
            "Performance Summary:",
            f"  Iterations: {iterations}",
            f"  Host Wall Time (s): {iterations * timing.batch / timing.inference_only_per_s:g}",
            f"  Throughput (qps):   {timing.inference_only_per_s:g}",
            "  Compute Latency (ms):",
            *(f"    {name}: {value:g}" for name, value in _summary(calls).items()),
        ]
    )


def _trtexec(timing: Timing) -> str:
    """Queries are calls, whatever the batch: images a second are `qps` times the batch."""
    latency = ", ".join(f"{name} = {value:g} ms" for name, value in _summary(timing.samples_ms["infer"]).items())
    return "\n".join(
        [
            "[I] === Performance summary ===",
            f"[I] Throughput: {timing.inference_only_per_s / timing.batch:g} qps",
            f"[I] Latency: {latency}",
        ]
    )


def _benchmark_app(timing: Timing) -> str:
    """Frames are images; the latency is that of one call."""
    calls = timing.samples_ms["infer"]
    seconds = len(calls) * timing.batch / timing.inference_only_per_s
    summary = _summary(calls)
    return "\n".join(
        [
            f"[ INFO ] Count:            {len(calls)} iterations",
            f"[ INFO ] Duration:         {1000 * seconds:.2f} ms",
            "[ INFO ] Latency:",
            f"[ INFO ]    Median:        {summary['median']:.2f} ms",
            f"[ INFO ]    Average:       {summary['mean']:.2f} ms",
            f"[ INFO ]    Min:           {summary['min']:.2f} ms",
            f"[ INFO ]    Max:           {summary['max']:.2f} ms",
            f"[ INFO ] Throughput:   {timing.inference_only_per_s:.2f} FPS",
        ]
    )


def _summary(samples_ms: tuple[float, ...]) -> dict[str, float]:
    """Summary under trtexec's names, which mm_run uses as well."""
    summary = {
        "min": float(np.min(samples_ms)),
        "max": float(np.max(samples_ms)),
        "mean": float(np.mean(samples_ms)),
        "median": float(np.median(samples_ms)),
    }
    shares = (90, 95, 99)
    values = np.percentile(samples_ms, shares)
    return summary | {f"percentile({share}%)": float(value) for share, value in zip(shares, values, strict=True)}
