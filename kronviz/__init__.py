"""kronviz: an explorer of byte-level token embeddings (Kronecker Embeddings, arXiv 2605.29459).

Importing this package imports none of its modules, so that ``kronviz.training`` runs on machines
without Gradio and Plotly.
"""

__version__ = "0.2.0"
