"""`python -m kvref.cli`."""

from kvref.cli.main import main

main()
