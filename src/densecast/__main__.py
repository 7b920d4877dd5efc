"""`python -m densecast` is `densecast`."""

from densecast.cli import main

if __name__ == "__main__":
    main()
