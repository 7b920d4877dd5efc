#!/usr/bin/env bash
# Make every committed number of the original packages anew, and fail where one differs from what is committed.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv-parity/bin/python

for name in metric segmentation pose_input coco network family pipeline; do
    $python parity/make_${name}_goldens.py
done
.venv-parity1/bin/python parity/make_mmengine_goldens.py
for name in pose pose_warp; do
    $python parity/make_${name}_goldens.py tests/golden
done
git diff --exit-code --stat -- tests/golden
