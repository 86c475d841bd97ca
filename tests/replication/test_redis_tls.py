"""TLS: who the server says that it is, is checked. The server and its certificates are real."""

import asyncio
import shutil
import subprocess

import pytest
import redis
from live import wait_until
from redis_groups import free_ports

import sharedmap
from sharedmap import replication
from sharedmap.replication import aio

FAILS = "[Cc]ertificate|CERTIFICATE|certificate"


def openssl(directory, *words):
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)


def certify(directory, name, host):
    """A key and a certificate for that host, signed by the authority in the directory."""
    key = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-subj", f"/CN={name}")
    if host is None:
        # Without it, Python 3.13 accepts no certificate of the authority.
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        openssl(directory, "req", "-x509", "-days", "2", *key, *usage, "-out", f"{name}.crt")
        return
    extensions = f"subjectAltName={host}\nauthorityKeyIdentifier=keyid\n"
    (directory / "extensions").write_text(extensions)
    openssl(directory, "req", "-new", *key, "-out", "request")
    signed_by = ("-CA", "authority.crt", "-CAkey", "authority.key", "-CAcreateserial")
    signed = ("-extfile", "extensions", "-out", f"{name}.crt", "-days", "2")
    openssl(directory, "x509", "-req", "-in", "request", *signed_by, *signed)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("NOT TESTED TLS: there is no openssl command")
    directory = tmp_path_factory.mktemp("tls")
    certify(directory, "authority", None)
    certify(directory, "server", "DNS:localhost,IP:127.0.0.1")
    certify(directory, "other", "DNS:other.example")
    return directory


@pytest.fixture(scope="module")
def start(certificates):
    """Starts a server that has the certificate of that name; the result is its port."""
    if shutil.which("redis-server") is None:
        pytest.skip("NOT TESTED TLS: redis-server is not installed")
    processes = []

    def run(name):
        (port,) = free_ports(1)
        files = ("--tls-cert-file", f"{name}.crt", "--tls-key-file", f"{name}.key")
        files += ("--tls-ca-cert-file", "authority.crt", "--tls-auth-clients", "no")
        command = ["redis-server", "--port", "0", "--tls-port", str(port), "--save", "", *files]
        log = (certificates / f"log-{name}").open("wb")
        process = subprocess.Popen(command, cwd=certificates, stdout=log)
        log.close()
        processes.append(process)
        client = redis.Redis(port=port, ssl=True, ssl_cert_reqs="none", ssl_check_hostname=False)

        def answers():
            if process.poll() is not None:
                pytest.skip("NOT TESTED TLS: redis-server was built without it")
            try:
                return client.ping()
            except redis.RedisError:
                return False

        wait_until(answers, "the server answers")
        client.close()
        return port

    yield run
    for process in processes:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def port(start):
    return start("server")


def test_map_travels_by_tls(port, certificates, names, tmp_path):
    name = names()
    here = {"local": names(), "directory": tmp_path}
    sharedmap.share({"key": b"x" * 10_000_000}, name)
    for host in ("localhost", "127.0.0.1"):
        url = f"rediss://{host}:{port}/1?ssl_ca_certs={certificates}/authority.crt"
        replication.push(url, name, everything=True)
        assert replication.pull(url, name, **here).entries == 1
        assert asyncio.run(aio.pull(url, name, **here)).entries == 1
        asyncio.run(aio.push(url, name, everything=True))


@pytest.mark.parametrize("form", ["rediss", "valkeys", "rediss+cluster", "rediss+sentinel"])
def test_server_with_a_certificate_of_an_unknown_authority_is_refused(port, name, tmp_path, form):
    url = f"{form}://localhost:{port}" + "/shop" * form.endswith("sentinel")
    with pytest.raises(replication.ServerError, match=FAILS):
        replication.pull(url, name, directory=tmp_path)
    with pytest.raises(replication.ServerError, match=FAILS):
        asyncio.run(aio.pull(url, name, directory=tmp_path))


def test_server_with_the_certificate_of_another_host_is_refused(
    start, certificates, name, tmp_path
):
    port = start("other")
    url = f"rediss://localhost:{port}?ssl_ca_certs={certificates}/authority.crt"
    for call in (replication.pull, lambda *a, **o: asyncio.run(aio.pull(*a, **o))):
        with pytest.raises(replication.ServerError, match=FAILS):
            call(url, name, directory=tmp_path)
        # Unless the URL says that it does not matter.
        with pytest.raises(replication.NothingPushed):
            call(url + "&ssl_check_hostname=no", name, directory=tmp_path)
        with pytest.raises(replication.NothingPushed):
            call(f"rediss://localhost:{port}?ssl_cert_reqs=none", name, directory=tmp_path)


def test_server_without_tls_is_refused(name, tmp_path):
    server_port = free_ports(1)[0]
    with pytest.raises(replication.ServerError):
        replication.pull(f"rediss://localhost:{server_port}", name, directory=tmp_path)
