"""A real S3 API on the loopback for tests of remote storage: moto's server, once a session, a bucket a test."""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import fsspec
import pytest


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The address of the server; it believes every key."""
    with _serving({}) as address:
        yield address


@pytest.fixture(scope="session")
def locked_s3_address() -> Iterator[str]:
    """The address of a server that knows no key, and so refuses all of them."""
    with _serving({"INITIAL_NO_AUTH_ACTION_COUNT": "0"}) as address:
        yield address


@contextmanager
def _serving(settings: dict[str, str]) -> Iterator[str]:
    pytest.importorskip("s3fs", reason="pip install 'robot-lfd[s3]'")
    if importlib.util.find_spec("moto") is None:
        pytest.skip("pip install 'moto[server]'")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(words, stderr=subprocess.DEVNULL, env={**os.environ, **settings})
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def s3(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a folder in a bucket of its own."""
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    for key, value in {"ENDPOINT_URL": s3_address, "ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y"}.items():
        monkeypatch.setenv(f"AWS_{key}", value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"lfd-{secrets.token_hex(4)}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
    return f"s3://{bucket}/demos"
