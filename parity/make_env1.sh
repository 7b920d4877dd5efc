#!/usr/bin/env bash
# Make .venv-parity1: MMSegmentation 1.2 on mmengine, beside densecast, for check_mmengine.py. Takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

"${PYTHON:-python3.11}" -m venv .venv-parity1
pip() { .venv-parity1/bin/python -m pip --disable-pip-version-check install --quiet "$@"; }

# torch first, and the CPU build: otherwise a dependency below brings its own.
index="${TORCH_INDEX_URL-https://download.pytorch.org/whl/cpu}"
pip torch==2.13.0 ${index:+--index-url "$index"}
pip "setuptools<70" wheel "numpy<2" "opencv-python-headless==4.11.0.86" "yapf==0.40.1" \
    addict einops ftfy matplotlib model-index packaging pillow prettytable pyyaml regex rich scipy termcolor
# Without mmcv's compiled operators: no network compared here uses them.
pip --no-deps mmcv-lite==2.1.0 mmengine==0.10.7 mmpretrain==1.2.0 mmsegmentation==1.2.2
pip --editable .
echo "made .venv-parity1"
