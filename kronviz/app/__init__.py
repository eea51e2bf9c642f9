"""The app: one folder per tab, a theme, shared components. Nothing is computed here."""

from kronviz.app.server.uploads import use_own_folder

# Gradio reads it when it is imported, which no file of this package has done yet.
use_own_folder()
