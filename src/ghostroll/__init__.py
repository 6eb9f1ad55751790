"""ghostroll: put a camera card in and walk away."""

__version__ = "0.1.0"
