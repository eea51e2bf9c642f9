"""The app: one file a tab, a theme, shared components. Nothing is computed here."""
