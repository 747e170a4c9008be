"""What ``doctor`` looks at. A check takes a ``Deployment`` and gives findings."""
