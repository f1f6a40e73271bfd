"""`python -m genera` and `torchrun -m genera`."""

from genera.cli.main import main

main()
