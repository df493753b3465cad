"""`python -m layerwright` is the same as `layerwright`, and works under `torchrun -m` too."""

import sys

from layerwright.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
