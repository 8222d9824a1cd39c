"""A whole alertmend in memory, on a clock that moves by itself from one thing that is due to the next.

The decisions and the flows are the real ones; the store, the ledger, the probes and the playbooks are stand-ins.
"""
