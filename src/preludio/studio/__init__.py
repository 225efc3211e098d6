"""The studio: one page in the browser, and the small server behind it. Local, offline, without an account."""

from preludio.studio.app import create_app
from preludio.studio.serve import Settings, serve

__all__ = ["Settings", "create_app", "serve"]
