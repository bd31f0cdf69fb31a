"""`python -m edge_agent`: the command line where the program's own script is not on the path."""

from edge_agent.cli import main

main()
