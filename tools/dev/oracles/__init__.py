"""Adapters of the oracle runner, one file per method; the interface is in :mod:`oracles.case`."""
