"""Reports and model cards: figures, charts, pages."""
