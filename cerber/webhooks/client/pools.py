"""How requests reaches the network: its own adapter over urllib3's pools, with our connections in them."""

from __future__ import annotations

import queue
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, cast

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, ProxyManager

from cerber.webhooks.client.connections import Connection, TLSConnection
from cerber.webhooks.client.guard import CALL

MOST = 256  # connections that wait for another request, of all endpoints together
ENDPOINTS = 256  # pools at hand; without connections in them they are cheap to make again

_Idle = OrderedDict[Connection, None]  # those of all pools, the one that waits for longest first


class _Stack:
    """The connections of one pool that wait for another request: a queue, as far as urllib3 needs one."""

    def __init__(self, idle: _Idle, _maxsize: int) -> None:
        self._idle = idle
        self._stack: list[Connection] = []

    def put(self, item: Connection | None, block: bool = True, timeout: float | None = None) -> None:
        if item is None:
            return
        CALL.get().release()  # first: nobody shuts down what another call may take
        self._idle[item] = None
        self._stack.append(item)
        if len(self._idle) > MOST:
            self._idle.popitem(last=False)[0].close()  # it stays in its stack, as one that `get` gives nobody

    def get(self, block: bool = True, timeout: float | None = None) -> Connection | None:
        try:
            item = self._stack.pop()
        except IndexError:
            raise queue.Empty from None
        return item if self._idle.pop(item, self) is None else None


class Adapter(HTTPAdapter):
    """requests' own, with our connections and our certificates."""

    def __init__(self, ca_file: str | None) -> None:
        # One context for all connections: reading the certificates takes longer than an attempt.
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.load_verify_locations(ca_file or DEFAULT_CA_BUNDLE_PATH)
        waiting = {"QueueCls": partial(_Stack, _Idle())}
        self._classes = {
            "http": type("Pool", (HTTPConnectionPool,), {"ConnectionCls": Connection, **waiting}),
            "https": type("TLSPool", (HTTPSConnectionPool,), {"ConnectionCls": TLSConnection, **waiting}),
        }
        self._pool = lru_cache(ENDPOINTS)(self._new_pool)
        super().__init__(pool_connections=ENDPOINTS, pool_maxsize=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._tls)
        self.poolmanager.pool_classes_by_scheme = self._classes

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> ProxyManager:
        manager: ProxyManager = super().proxy_manager_for(proxy, **kwargs, ssl_context=self._tls)
        manager.pool_classes_by_scheme = self._classes
        return manager

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Mapping[str, str] | None = None, cert: Any = None
    ) -> HTTPConnectionPool:
        """As requests does it, without reading URL, proxy and certificates anew."""
        url = CALL.get().url
        return self._pool(proxies[url.scheme] if proxies else None, url.host, url.port, url.scheme)

    def close(self) -> None:
        self._pool.cache_clear()
        super().close()

    def _new_pool(self, proxy: str | None, *endpoint: Any) -> HTTPConnectionPool:
        manager = self.proxy_manager_for(proxy) if proxy else self.poolmanager
        return manager.connection_from_host(*endpoint)

    def cert_verify(self, *_: object) -> None:
        """Our TLS context verifies; requests would read its certificates again for each connection."""

    def request_url(self, *_: object) -> str:
        """As it was prepared."""
        return CALL.get().target

    def build_response(self, req: PreparedRequest, resp: Any) -> Response:
        """urllib3's answer as it is: nobody here asks for what requests would put around it."""
        return cast(Response, resp)
