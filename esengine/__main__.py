"""``python -m esengine`` is the command line."""

from esengine.launch.cli import run_process

if __name__ == "__main__":
    run_process()
