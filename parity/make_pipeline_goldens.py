"""Write tests/golden/openmmlab_pipelines.json: digests of what the original's test pipelines make of images.

Run in the environment of make_env.sh: .venv-parity/bin/python parity/make_pipeline_goldens.py
"""

from __future__ import annotations

import copy
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "export"))

from openmmlab_pipelines import PIPELINES, SIZES_HW, image  # noqa: E402

import originals  # noqa: E402


def main() -> None:
    """Run every pipeline on every image, and write shape and sha256 of each view."""
    originals.import_package("mmseg")
    from mmseg.datasets.pipelines import Compose

    goldens: dict[str, list[list[object]]] = {}
    for name, transforms in PIPELINES.items():
        pipeline = Compose(copy.deepcopy(transforms[1:]))  # the image is there already
        for size_hw in SIZES_HW:
            loaded = np.ascontiguousarray(image(size_hw)[..., ::-1])  # BGR, as OpenCV reads files
            results = {"img": loaded, "img_shape": loaded.shape, "ori_shape": loaded.shape, "pad_shape": loaded.shape}
            results |= {"filename": "", "ori_filename": "", "scale_factor": 1.0, "flip": False, "img_fields": ["img"]}
            results |= {"flip_direction": "horizontal", "img_norm_cfg": {}}
            views = [each.numpy() for each in pipeline(results)["img"]]
            goldens[f"{name} {size_hw[0]}x{size_hw[1]}"] = [
                [list(view.shape), hashlib.sha256(np.ascontiguousarray(view).tobytes()).hexdigest()] for view in views
            ]
    target = ROOT / "tests" / "golden" / "openmmlab_pipelines.json"
    target.write_text(json.dumps(goldens, indent=1) + "\n", encoding="utf-8")
    print(f"{target.relative_to(ROOT)}: {len(goldens)} cases")


if __name__ == "__main__":
    main()
