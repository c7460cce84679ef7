"""The contest's pages: Jinja2 and HTMX over the same views and services as the API. They hold no rules of their own."""
