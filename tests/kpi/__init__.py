"""The engine: worked examples, properties, and a slow twin."""
