"""PyTorch compiled as its experts would: channels last, frozen weights, Inductor; in bfloat16, or in int8 by PT2E.

The stages around the network are those of `plain_stages`. int8 is torchao's quantiser for x86, calibrated on the images
of the job's folder; it needs torchao, which is in no extra of densecast: install it beside torch in a venv of its own.
Inductor needs a C++ compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

import crowds
from contenders.job import Array, Job
from contenders.plain_stages import decoded, prepared
from densecast.artifact import Artifact
from densecast.networks._base import NETWORKS


class CompiledTorch:
    """The network, compiled for the size of the first image."""

    def __init__(self, job: Job, *, is_int8: bool) -> None:
        import torch._inductor.config as inductor

        torch.set_num_threads(job.threads)
        cv2.setNumThreads(job.threads)
        inductor.freezing = True
        inductor.cpp_wrapper = True
        artifact = Artifact.open(job.exported)
        self.spec = artifact.spec
        self.network = loaded(artifact).to(memory_format=torch.channels_last)
        crowd = job.onnx.parent / crowds.FILE
        self.crowd = torch.from_numpy(np.load(crowd)) if crowd.is_file() else None
        self.is_int8 = is_int8
        self.compiled: Callable[[torch.Tensor], Any] | None = None
        self.calibration = list(job.images)

    def run(self, images: Sequence[Path]) -> None:
        for image in images:
            self.result(image)

    def result(self, image: Path) -> Array:
        values, image_hw = prepared(image, self.spec)
        tensor = torch.from_numpy(values).to(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            if self.compiled is None:
                self.compiled = torch.compile(self._quantised(tensor) if self.is_int8 else self.network)
            output = _main(self.compiled(tensor)).float()
        if self.crowd is not None:
            output = output + self.crowd
        return decoded(output.numpy(), image_hw, self.spec)

    def facts(self) -> dict[str, float | str]:
        return {"torch": torch.__version__, "precision": "int8, bfloat16" if self.is_int8 else "bfloat16"}

    def _quantised(self, example: torch.Tensor) -> Any:
        """The exported program with quantisers for x86, calibrated."""
        from torchao.quantization.pt2e import move_exported_model_to_eval
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

        exported = torch.export.export(self.network, (example,), strict=True).module()
        quantizer = x86.X86InductorQuantizer().set_global(x86.get_default_x86_inductor_quantization_config())
        observed = prepare_pt2e(exported, quantizer)
        for path in self.calibration:
            observed(torch.from_numpy(prepared(path, self.spec)[0]).to(memory_format=torch.channels_last))
        quantised = convert_pt2e(observed)
        move_exported_model_to_eval(quantised)
        return quantised


def loaded(artifact: Artifact) -> torch.nn.Module:
    """The exported network with its weights, in evaluation mode."""
    from safetensors.torch import load_file

    reference = artifact.manifest.network
    assert reference is not None
    plugin = NETWORKS.load_trusted(reference.name)
    network = plugin.build(plugin.options_type(**reference.options))
    network.load_state_dict(load_file(artifact.file("weights.safetensors")))
    return network.eval()


def _main(output: Any) -> torch.Tensor:
    return output[0] if isinstance(output, tuple | list) else output


def enter(job: Job) -> CompiledTorch:
    return CompiledTorch(job, is_int8=False)
