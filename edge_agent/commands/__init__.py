"""The commands of `edge-agent`, one module each: they read options, call the parts that do the work, and print.

Rule 1: no work is done here, so that whatever a command does can be had from Python too.
Rule 2: what is heavy is imported where it is used: `--help` and completion answer at once, and an agent that runs for
months does not hold the dashboards' classes in memory. These are the only imports within functions.
"""
