"""`python -m overread` is the same program as `overread`."""

from overread.cli.main import run

if __name__ == "__main__":
    run()
