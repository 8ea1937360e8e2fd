"""Hosts with networks and disks of their own, on one machine."""
