"""Serves the network of `check_triton.py` with a real Triton, until its standard input ends.

Run in .venv-triton: python triton_oracle.py HTTP_PORT GRPC_PORT METRICS_PORT
"""

from __future__ import annotations

import sys

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


@batch
def network(image):
    """(N, 3, H, W) -> the sum of the channels, and its negative: exact for inputs that are multiples of 1/4."""
    sums = image.sum(axis=1, keepdims=True)
    return [np.concatenate([sums, 0 - sums], axis=1).astype(np.float32)]


if __name__ == "__main__":
    http, grpc, metrics = map(int, sys.argv[1:])
    with Triton(config=TritonConfig(http_port=http, grpc_port=grpc, metrics_port=metrics, log_verbose=0)) as triton:
        triton.bind(
            model_name="tiny",
            infer_func=network,
            inputs=[Tensor(name="image", dtype=np.float32, shape=(3, -1, -1))],
            outputs=[Tensor(name="logits", dtype=np.float32, shape=(2, -1, -1))],
            config=ModelConfig(max_batch_size=4, batching=True),
            strict=True,
        )
        triton.run()
        sys.stdin.read()
