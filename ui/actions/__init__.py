"""What happens on the page's events. Handlers read and write a workspace and return what changes on the page."""
