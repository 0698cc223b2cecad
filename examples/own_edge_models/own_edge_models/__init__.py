"""Edge models of one's own for ECCT-TF: a GRU over the newest items, and a cross network."""
