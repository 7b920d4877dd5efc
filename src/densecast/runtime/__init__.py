"""Runtime support: CPU detection, thread budgets, batching and buffers, clocks."""
