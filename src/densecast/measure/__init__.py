"""Predictions beside ground truth: one loop, and what may be chance."""
