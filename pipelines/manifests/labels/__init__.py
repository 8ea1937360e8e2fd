"""Where labels come from: one file a data set's convention."""
