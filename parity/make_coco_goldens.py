"""Write tests/golden/coco_metric.json: what MMPose evaluates and prints for seeded people.

Run in the environment of make_env.sh: .venv-parity/bin/python parity/make_coco_goldens.py
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "src"))

import seeded_people  # noqa: E402

import originals  # noqa: E402

CONFIG = "body/2d_kpt_sview_rgb_img/associative_embedding/coco/hrnet_w32_coco_512x512.py"
GOLDEN = ROOT / "tests" / "golden" / "coco_metric.json"
SUMMARY = " Average "


def main() -> None:
    """Evaluate with the original's own data set class and its xtcocotools."""
    originals.build("mmpose", CONFIG)  # makes the package importable
    document, found = seeded_people.images()
    files = {image["id"]: image["file_name"] for image in document["images"]}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "annotations.json").write_text(json.dumps(document), encoding="utf-8")
        outputs = [_output(each, f"{folder}/{files[each.image_id]}") for each in found]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            stats = _dataset(folder).evaluate(outputs, folder, metric="mAP")
        results = json.loads((Path(folder) / "result_keypoints.json").read_text(encoding="utf-8"))
    # As its tools/test.py prints them.
    values = [f"{name}: {value}" for name, value in sorted(stats.items())]
    summary = [line for line in printed.getvalue().splitlines() if line.startswith(SUMMARY)]
    golden = {
        "stats": {name: float(value) for name, value in stats.items()},
        "printed": "\n".join([*summary, *values]),
        "results": len(results),
    }
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n", encoding="utf-8")
    print(golden["printed"])
    print(f"{GOLDEN.relative_to(ROOT)}: {GOLDEN.stat().st_size} bytes")


def _dataset(folder: str) -> Any:
    from mmcv import Config
    from mmpose.datasets import build_dataset

    config = Path(sys.modules["mmpose"].__path__[0]) / ".mim" / "configs" / CONFIG
    settings = Config.fromfile(str(config)).data.test.copy()
    settings["ann_file"], settings["img_prefix"] = f"{folder}/annotations.json", f"{folder}/"
    return build_dataset(settings, {"test_mode": True})


def _output(found: seeded_people.Found, path: str) -> dict[str, Any]:
    people = found.people
    # A fourth column stands for the tags, which are stored and not evaluated.
    joints = np.concatenate([people.xy_px, people.score[..., None], people.score[..., None]], axis=-1)
    return {"preds": list(joints), "scores": list(people.person_score), "image_paths": [path], "output_heatmap": None}


if __name__ == "__main__":
    main()
