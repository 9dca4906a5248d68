"""What a run leaves for its reader: pictures with their numbers, health checks in words, a page. Never imports JAX."""

from jaxae.report import checks, pictures
from jaxae.report.checks import Check
from jaxae.report.page import write_page
from jaxae.report.pictures import Picture

__all__ = ["Check", "Picture", "checks", "pictures", "write_page"]
