"""`python -m ghostroll`."""

from ghostroll.cli import main

main()
