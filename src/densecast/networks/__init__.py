"""One network per file, in plain PyTorch: `Options`, `build`, `clean`; files with an underscore are shared parts."""
