"""`python -m minis2s`: the command line for those who have not installed its script."""

import sys

from minis2s.cli import main

sys.exit(main())
