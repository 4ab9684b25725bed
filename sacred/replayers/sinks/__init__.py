"""The views, one file each. A sink imports its driver and the contract, no other sink."""
