"""Measuring predictions against ground truth: one loop, and confidence intervals."""
