#!/usr/bin/env bash
# Make .venv-parity: the original packages whose networks densecast rebuilds, on a current torch. Takes minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

"${PYTHON:-python3.11}" -m venv .venv-parity
pip() { .venv-parity/bin/python -m pip --disable-pip-version-check install --quiet "$@"; }

# torch first, and the CPU build: otherwise a dependency below brings its own.
index="${TORCH_INDEX_URL-https://download.pytorch.org/whl/cpu}"
pip torch==2.13.0 ${index:+--index-url "$index"}
# mmcv's setup needs pkg_resources (gone from newer setuptools); its configs need this yapf; mmpose needs numpy 1.
pip "setuptools<70" wheel "numpy<2" "opencv-python-headless==4.11.0.86" "yapf==0.40.1" \
    addict json_tricks matplotlib onnx numba packaging pillow prettytable pyyaml scipy terminaltables
# Without mmcv's compiled operators: no network compared here uses them.
MMCV_WITH_OPS=0 pip --no-deps --no-build-isolation mmcv==1.7.2
pip --no-deps mmsegmentation==0.30.0 mmcls==0.25.0 mmpose==0.29.0 munkres==1.1.4 xtcocotools
pip --no-deps --editable .
echo "made .venv-parity"
