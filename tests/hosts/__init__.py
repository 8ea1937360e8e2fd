"""Hosts with networks, disks and clocks of their own, on one machine."""
