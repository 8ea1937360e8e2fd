"""Opens bundles, calibrates and measures them, and exports them to other formats."""
