"""The official package's private modules, as far as code in the wild imports them. New code uses public names."""
