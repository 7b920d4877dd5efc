"""One file per data set: `open(root, split, seed)` gives samples in a stable order, `check(root)` what is wrong."""
