"""From an edge model and its weights to files for phones: `export.export_edge_model`."""
