"""Processes that tests start, end and kill: forked from one that has imported what takes seconds."""

import multiprocessing

FORKS = multiprocessing.get_context("forkserver")
# There is one such server in a process of tests: what is set last holds for all, so it is set here alone.
FORKS.set_forkserver_preload(["tests.everything"])
