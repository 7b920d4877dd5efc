#!/usr/bin/env bash
# Make .venv-triton, with a Triton server for the CPU, and .venv-tritonclient, with its clients; both from PyPI.
set -euo pipefail
cd "$(dirname "$0")/.."

# The server wants a libpython of its own kind: that of Debian's Python 3.11 fits, those that pyenv builds do not.
"${PYTHON:-/usr/bin/python3}" -m venv .venv-triton
.venv-triton/bin/python -m pip --disable-pip-version-check install --quiet nvidia-pytriton==0.7.0 pillow setuptools
"${PYTHON:-/usr/bin/python3}" -m venv .venv-tritonclient
.venv-tritonclient/bin/python -m pip --disable-pip-version-check install --quiet \
    "tritonclient[http,grpc]==2.73.0" numpy pillow
echo "made .venv-triton and .venv-tritonclient"
