"""``python -m tt_hydra``."""

from __future__ import annotations

from tt_hydra.cli import main

if __name__ == "__main__":
    main()
