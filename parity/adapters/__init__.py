"""From a case to our numbers, one module per method; the interface is in :mod:`parity.case`."""
