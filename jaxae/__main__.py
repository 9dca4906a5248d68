"""`python -m jaxae` is the command `jaxae`."""

import sys

from jaxae.cli import main

sys.exit(main())
