"""`python -m huidurep_sorter`: the same as the `huidurep` command."""

import sys

from huidurep_sorter.cli.main import main

sys.exit(main())
