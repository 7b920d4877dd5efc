"""Procedural pictures with exact ground truth, made deterministically."""
