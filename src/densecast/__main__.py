"""Runs the command line as `python -m densecast`."""

from densecast.cli import main

if __name__ == "__main__":
    main()
