"""Requests that are repeated where that helps, and refusals in the service's words."""

from __future__ import annotations

import random
import time
from typing import Any

from tt_hydra.errors import ServiceError

try:
    import httpx
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("tt_hydra.client needs httpx: pip install 'tt-hydra[serve]'", name="httpx") from error

BUSY = frozenset({429, 503})
LONGEST_WAIT = 30.0
"""Seconds: a longer ``Retry-After`` is not waited for."""


class Http:
    """JSON to and from an address; see `Client` for the arguments."""

    def __init__(self, url: str, token: str | None, timeout: float, retries: int, transport: httpx.BaseTransport | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.url, self._retries = url.rstrip("/"), retries
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout, transport=transport)

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            ServiceError: it is refused, or there is no answer.
        """
        for number in range(self._retries + 1):
            answer, wait = self._once(method, path, body)
            if not isinstance(answer, ServiceError):
                return answer
            if wait is None or number == self._retries:
                raise answer
            time.sleep(max(wait, 0.1 * 2**number * random.uniform(1, 1.5)))
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, body: object) -> tuple[dict[str, Any] | ServiceError, float | None]:
        """An answer, or what is wrong and in how many seconds it may be well; None for never."""
        try:
            response = self._http.request(method, path, json=body)
        except (ValueError, TypeError) as error:
            return ServiceError(f"this cannot be sent as JSON: {error}"), None
        except httpx.TimeoutException:
            return ServiceError(
                f"{self.url} did not answer within {self._http.timeout.read} s: ask for less, or give Client(timeout=...)"
            ), None
        except httpx.TransportError as error:
            return ServiceError(f"{self.url} does not answer ({error}). Is the service running there?"), 0.0
        if response.is_success:
            return _content(response), None
        named = _seconds(response)
        return _refusal(response), named if response.status_code in BUSY and named <= LONGEST_WAIT else None

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()


def _content(response: httpx.Response) -> dict[str, Any] | ServiceError:
    try:
        content = response.json()
    except ValueError:
        content = None
    if isinstance(content, dict):
        return content
    return ServiceError(f"{response.url} answers, but not as tt_hydra does: is the address right?", status=response.status_code)


def _refusal(response: httpx.Response) -> ServiceError:
    try:
        fault = response.json()["error"]
        reason, place = fault["reason"], fault.get("field")
    except (ValueError, LookupError, TypeError):
        reason, place = f"{response.url} answered {response.status_code} {response.reason_phrase} without a reason", None
    return ServiceError(f"{reason} ({place})" if place else reason, status=response.status_code, field=place)


def _seconds(response: httpx.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("Retry-After", "0")))
    except ValueError:
        return 0.0
