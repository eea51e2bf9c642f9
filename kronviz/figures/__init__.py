"""Turn result objects into Plotly figures; nothing is computed here.

Figures use only the light colours of `kronviz.figures.palette`. The page's style sheet replaces
each with its dark counterpart, so one figure serves both themes.
"""
