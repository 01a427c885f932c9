"""Headers that name who answered: also where the body does not, as in errors."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tt_hydra.serve.app.service import Service
from tt_hydra.serve.asking import Mark

MODEL, INDEX = "X-TT-Hydra-Model", "X-TT-Hydra-Index"
_MODEL, _INDEX = MODEL.lower().encode(), INDEX.lower().encode()


def names(mark: Mark) -> dict[str, str]:
    """Headers of an answer that came from this model and index."""
    return {MODEL: mark.model, INDEX: mark.index}


class Named:
    """An application whose answers are all named: those that do not say who gave them, by what is served when they begin.

    Args:
        app: what answers.
        service: whose model and index these are.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._engine = app, service.engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start" and all(name != _MODEL for name, _ in message["headers"]):
                mark = self._engine.served.state.mark
                headers = [(_MODEL, mark.model.encode()), (_INDEX, mark.index.encode())]
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        await self._app(scope, receive, named)
