"""The composition: the only place that wires rooms together. One module per stage says what it means."""
