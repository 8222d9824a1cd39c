"""Runs playbooks: the worker's side is `runner`, that of a run `child`, which imports as little as it can."""
