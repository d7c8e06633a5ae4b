"""The inspector: which experts fired, for every token and layer. Everything is computed from a RoutingTrace."""
