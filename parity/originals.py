"""The published networks as the original packages build them.

These are mmsegmentation 0.30.0, mmpose 0.29.0 and mmcv 1.7.2.
They are older than the libraries they run on here. What they import but never use for inference is
stood in for by empty modules; the networks themselves run unchanged.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch


def _stand_in_for_torchvision() -> None:
    """Only links to pre-trained weights (mmcv) and image transforms (mmpose) are looked for in it."""
    parts = (
        "torchvision",
        "torchvision.models",
        "torchvision.transforms",
        "torchvision.transforms.functional",
    )
    for name in parts:
        module = ModuleType(name)
        module.__path__ = []
        module.__dict__["__version__"] = "0.14.0"
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


class _NoOps(ModuleType):
    """Stands in for mmcv's compiled operators: importable by any name, refusing to be built."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*_: object, **__: object) -> None:
            raise RuntimeError(f"mmcv.ops.{name} is not part of any network compared here")

        return type(name, (torch.nn.Module,), {"__init__": refuse})


class PSAMask(torch.nn.Module):
    """MMCV's compiled operator, one pair of positions after the other, as its `psamask.cpp` defines it."""

    def __init__(self, psa_type: str, mask_size: tuple[int, int]) -> None:
        super().__init__()
        self.collects, self.mask_size = psa_type == "collect", mask_size

    def forward(self, masks: torch.Tensor) -> torch.Tensor:
        """(N, mask, h, w) -> (N, h * w, h, w): what each position says of all others, or all others of it."""
        images, _, height, width = masks.shape
        mask_h, mask_w = self.mask_size
        values = masks.numpy().reshape(images, mask_h, mask_w, height, width)
        out = np.zeros((images, height, width, height, width), np.float32)
        for row, column in np.ndindex(height, width):
            for other_row, other_column in np.ndindex(height, width):
                down, across = other_row - row + (mask_h - 1) // 2, other_column - column + (mask_w - 1) // 2
                if 0 <= down < mask_h and 0 <= across < mask_w:
                    pair = (other_row, other_column, row, column)
                    place = pair if self.collects else (*pair[2:], *pair[:2])
                    out[(slice(None), *place)] = values[:, down, across, row, column]
        return torch.from_numpy(out.reshape(images, height * width, height, width))


def _real_operator(name: str, file: str) -> Any:
    """An operator of MMCV that is plain torch, from its own file."""
    package = importlib.util.find_spec("mmcv")
    assert package is not None and package.origin is not None
    path = Path(package.origin).parent / "ops" / f"{file}.py"
    spec = importlib.util.spec_from_file_location(f"mmcv_ops_{file}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def stand_in() -> None:
    """Put empty modules in the place of what the originals import and do not need."""
    if "mmcv" not in sys.modules:
        _stand_in_for_torchvision()
        operators = _NoOps("mmcv.ops")
        operators.__path__ = []
        sys.modules["mmcv.ops"] = operators
        operators.__dict__["PSAMask"] = PSAMask
        operators.__dict__["get_onnxruntime_op_path"] = lambda: ""
        operators.__dict__["CrissCrossAttention"] = _real_operator("CrissCrossAttention", "cc_attention")
        operators.__dict__["point_sample"] = _real_operator("point_sample", "point_sample")


def import_package(package: str) -> None:
    """Import mmseg or mmpose, with stand-ins for what it does not need."""
    stand_in()
    import mmcv

    # mmpose 0.29.0 refuses mmcv above 1.7.0; 1.7.2 builds on current Pythons and has the same code here.
    installed, mmcv.__version__ = mmcv.__version__, "1.7.0"
    importlib.import_module(f"{package}.models")
    mmcv.__version__ = installed


def build(package: str, config: str) -> torch.nn.Module:
    """The network of a config inside the wheel of `package`, in evaluation mode, with arbitrary weights."""
    import_package(package)
    from mmcv import Config

    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    settings = Config.fromfile(str(Path(spec.origin).parent / ".mim" / "configs" / config))
    settings.model.pretrained = None
    if package == "mmpose":
        from mmpose.models import build_posenet

        return build_posenet(settings.model).eval()
    from mmseg.models import build_segmentor

    settings.model.train_cfg = None
    return build_segmentor(settings.model).eval()


@torch.no_grad()
def run(model: Any, image: np.ndarray) -> np.ndarray:
    """(N, 3, H, W) float32 -> what the last head gives: logits before upsampling, or heatmaps and tags."""
    x = torch.from_numpy(image)
    if hasattr(model, "keypoint_head"):
        return model.forward_dummy(x)[0].numpy()
    features = model.extract_feat(x)
    if not isinstance(model.decode_head, torch.nn.ModuleList):
        return model.decode_head.forward_test(features, None, model.test_cfg).numpy()
    first, *later = model.decode_head
    logits = first.forward_test(features, None, model.test_cfg)
    for head in later:
        logits = head.forward_test(features, logits, None, model.test_cfg)
    return logits.numpy()


def config_path(package: str, config: str) -> Path:
    """The file of a configuration inside the wheel of `package`."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / ".mim" / "configs" / config


def slide_config(crop_hw: tuple[int, int], stride_hw: tuple[int, int]) -> Any:
    """The original's `test_cfg` for sliding windows."""
    from mmcv import Config

    return Config({"mode": "slide", "crop_size": crop_hw, "stride": stride_hw})
