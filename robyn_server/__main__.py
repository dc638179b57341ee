"""`python -m robyn_server`, the same as `agenthall`."""

from .cli import main

if __name__ == "__main__":
    main()
