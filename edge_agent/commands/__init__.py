"""The commands of `edge-agent`, one module each: they read options, call the parts that do the work, and print.

Rule: no work is done here, so that whatever a command does can be had from Python too.
"""
