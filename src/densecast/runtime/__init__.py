"""The machine: CPUs and how they are shared out, batches and buffers, clocks."""
