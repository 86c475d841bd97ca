"""Django: settings that change while the site runs, in one file.

    gunicorn --chdir examples --workers 2 --bind localhost:8000 django_site:application
    curl localhost:8000
    sharedmap update example:site maintenance:=true
    curl localhost:8000

The middleware asks the shared map at each request. Switching the site to maintenance is one command
for all workers; nothing is restarted, and no cache or database is asked.
"""

import os
from collections.abc import Callable

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

import sharedmap

NAME = os.environ.get("SITE", "example:site")

# The first worker publishes; what an earlier start has left is kept.
sharedmap.share({"maintenance": False, "greeting": "Welcome"}, NAME, exist_ok=True)

settings.configure(
    SECRET_KEY="from your own secrets",
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[f"{__name__}.maintenance"],
    LIVE=sharedmap.sharedmap(NAME, follow=True),
)


def maintenance(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    def answer(request: HttpRequest) -> HttpResponse:
        if settings.LIVE["maintenance"]:
            return HttpResponse("Back in a minute\n", status=503)
        return get_response(request)

    return answer


def greet(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{settings.LIVE['greeting']}\n")


urlpatterns = [path("", greet)]
application = get_wsgi_application()
