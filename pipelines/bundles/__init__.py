"""Where bundles come from; calibrating, measuring and exporting them."""
