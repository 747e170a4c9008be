"""TLS to a Redis and to databases of the tests' own: their certificates are checked, and refused if unknown."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
import sqlalchemy as sa
import trustme
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisClusterException
from redis.sentinel import MasterNotFoundError

from inngest_celery.flow.gate import connect
from inngest_celery.flow.tls import url_of_broker
from inngest_celery.server.realtime.wire import Wire
from inngest_celery.store.database import Database
from inngest_celery.worker.realtime import Airwaves
from inngest_celery.worker.runtime import runtime_of
from tests.conftest import StartWorker
from tests.e2e.shop import Shop
from tests.redis_nodes import free_ports
from tests.services import PREFIX
from tests.waiting import wait_until

_POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


class Certificates:
    """A server's certificate, the authority that has signed it (``good``), and one that has not (``wrong``)."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        self.directory = directory
        self.good, self.wrong = str(directory / "good.pem"), str(directory / "wrong.pem")
        self.certificate, self.key = str(directory / "server.pem"), str(directory / "server.key")
        authority.cert_pem.write_to_path(self.good)
        trustme.CA().cert_pem.write_to_path(self.wrong)
        issued.cert_chain_pems[0].write_to_path(self.certificate)
        issued.private_key_pem.write_to_path(self.key)
        Path(self.key).chmod(0o600)


@pytest.fixture(scope="module")
def certificates() -> Iterator[Certificates]:
    # Not pytest's directory, which servers under accounts of their own may not read.
    with tempfile.TemporaryDirectory() as name:
        yield Certificates(Path(name))


@contextmanager
def _running(
    command: list[str], log: Path, user: str | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    with log.open("wb") as out:
        environment = {**os.environ, **(environment or {})}
        server = subprocess.Popen(command, stdout=out, stderr=out, user=user, env=environment)
    try:
        yield
    finally:
        server.terminate()
        server.wait(30)


def _account(name: str, certificates: Certificates) -> tuple[str | None, str]:
    """Give the account that a server wants if the tests are root's, and a file with the key that is the account's."""
    if os.geteuid() != 0:
        return None, certificates.key
    # What it makes there is its own.
    certificates.directory.chmod(0o777)
    key = shutil.copy(certificates.key, f"{certificates.key}.{name}")
    shutil.chown(key, name)
    return name, key


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except (redis.RedisError, sa.exc.OperationalError):
        return False
    return True


@pytest.fixture(scope="module")
def redis_port(certificates: Certificates) -> Iterator[int]:
    """A server that is a cluster by itself, too."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        pytest.skip("no redis-server or valkey-server with TLS is on the PATH; the embedded one has none")
    [port] = free_ports(1)
    command = [found, "--port", "0", "--tls-port", str(port), "--save", "", "--dir", str(certificates.directory)]
    command += ["--tls-cert-file", certificates.certificate, "--tls-key-file", certificates.key]
    command += ["--tls-ca-cert-file", certificates.good, "--tls-auth-clients", "no"]
    command += ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", str(free_ports(1)[0])]
    with _running(command, certificates.directory / "redis.log"):
        with redis.Redis("127.0.0.1", port, ssl=True, ssl_ca_certs=certificates.good) as client:
            wait_until(partial(_answers, client.ping), message="Redis")
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: _state(client) == "ok", message="the cluster")
        yield port


def _state(client: Any) -> str:
    return str(client.cluster("INFO")["cluster_state"])


@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster"])
def test_redis(scheme: str, redis_port: int, certificates: Certificates) -> None:
    url = f"{scheme}://127.0.0.1:{redis_port}?ssl_ca_certs="
    with connect(url + certificates.good) as client:
        assert client.ping()
    # What a cluster's client raises is no RedisError.
    with pytest.raises((redis.RedisError, RedisClusterException), match="certificate verify failed"):
        connect(url + certificates.wrong).ping()


@pytest.mark.parametrize("scheme", ["rediss", "rediss+cluster", "sentinel"])
def test_realtime_hears_it(scheme: str, request: pytest.FixtureRequest, certificates: Certificates) -> None:
    heard: list[str] = []
    airwaves = Airwaves("inngest")
    port = request.getfixturevalue("sentinel_port" if scheme == "sentinel" else "redis_port")

    async def listen() -> None:
        url = f"{scheme}://127.0.0.1:{port}?ssl_ca_certs={certificates.good}&master_name=jobs"
        url = url if scheme == "sentinel" else url.partition("&")[0]
        wire = Wire(url, airwaves, lambda channel, topic, text: heard.append(channel))
        await wire.follow({"channel"})
        await wire.close()

    # It raises where Redis has not confirmed that it is heard.
    asyncio.run(listen())


@pytest.fixture(scope="module")
def sentinel_port(certificates: Certificates) -> Iterator[int]:
    """A sentinel, and the Redis that it looks after."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        pytest.skip("no redis-server or valkey-server with TLS is on the PATH; the embedded one has none")
    port, redis_port = free_ports(2)
    encrypted = {
        "port": "0",
        "tls-cert-file": certificates.certificate,
        "tls-key-file": certificates.key,
        "tls-ca-cert-file": certificates.good,
        "tls-auth-clients": "no",
        "tls-replication": "yes",
        "dir": str(certificates.directory),
    }
    plain = [part for name, value in encrypted.items() for part in (f"--{name}", value)]
    # A sentinel writes into its file.
    configuration = certificates.directory / "sentinel.conf"
    lines = [f"{name} {value}" for name, value in encrypted.items()]
    lines += [f"tls-port {port}", f"sentinel monitor jobs 127.0.0.1 {redis_port} 1"]
    configuration.write_text("\n".join(lines))
    logs = certificates.directory / "watched.log", certificates.directory / "sentinel.log"
    with (
        _running([found, "--tls-port", str(redis_port), "--save", "", *plain], logs[0]),
        _running([found, str(configuration), "--sentinel"], logs[1]),
    ):
        url = f"sentinel://127.0.0.1:{port}?master_name=jobs&ssl_ca_certs={certificates.good}"
        wait_until(lambda: _answers(connect(url).ping), message="the master that the sentinel knows")
        yield port


def test_sentinels(sentinel_port: int, certificates: Certificates) -> None:
    url = f"sentinel://127.0.0.1:{sentinel_port}?master_name=jobs&"
    with connect(f"{url}ssl_ca_certs={certificates.good}") as client:
        assert client.ping()
    # The reason stands in the client's log: it asks one sentinel after the other.
    with pytest.raises(MasterNotFoundError):
        connect(f"{url}ssl_ca_certs={certificates.wrong}").ping()
    with pytest.raises(redis.RedisError):
        connect(f"{url}ssl_ca_certs={certificates.good}&sentinel_ssl=false").ping()
    with pytest.raises(ValueError, match="ssl_what"):
        connect(f"{url}ssl_what=1")


def test_limits_are_kept_behind_the_sentinels_that_celery_asks(sentinel_port: int, certificates: Certificates) -> None:
    app = Celery(broker=f"sentinel://127.0.0.1:{sentinel_port}/0", set_as_current=False)
    # As Celery has them.
    app.conf.broker_use_ssl = {"ssl_ca_certs": certificates.good, "ssl_cert_reqs": ssl.CERT_REQUIRED}
    of_sentinels = {"ssl": True, "ssl_ca_certs": certificates.good}
    app.conf.broker_transport_options = {"master_name": "jobs", "sentinel_kwargs": of_sentinels}
    with app.connection_for_write() as broker:
        broker.ensure_connection(max_retries=1)
    url = runtime_of(app).redis_url
    assert url is not None
    assert connect(url).ping()


@pytest.mark.parametrize("said", ["in the URL", "in broker_use_ssl"])
def test_limits_are_kept_in_the_broker_that_celery_reaches(
    said: str, redis_port: int, certificates: Certificates
) -> None:
    def client_of(authority: str) -> Any:
        url = f"rediss://127.0.0.1:{redis_port}/0"
        options = {"ssl_ca_certs": authority, "ssl_cert_reqs": ssl.CERT_REQUIRED}
        app = Celery(broker=f"{url}?ssl_ca_certs={authority}&ssl_cert_reqs=required", set_as_current=False)
        if said == "in broker_use_ssl":
            app = Celery(broker=url, set_as_current=False)
            app.conf.broker_use_ssl = options
        found = runtime_of(app).redis_url
        assert found is not None
        return connect(found)

    assert client_of(certificates.good).ping()
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        client_of(certificates.wrong).ping()


def test_a_broker_without_tls_keeps_its_url() -> None:
    assert url_of_broker("redis://:p@host:6379/1", False) == "redis://:p@host:6379/1"
    assert url_of_broker("redis://:p@host:6379/1", True) == "rediss://:p@host:6379/1"


@pytest.fixture(scope="module")
def postgres(certificates: Certificates) -> Iterator[str]:
    if _POSTGRES is None:
        pytest.skip("PostgreSQL's server programs are not on this machine")
    (user, key), [port] = _account("postgres", certificates), free_ports(1)
    data = certificates.directory / "data"
    make = [str(_POSTGRES / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"]
    subprocess.run(make, check=True, capture_output=True, user=user, cwd=certificates.directory)
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
    settings = {"ssl": "on", "ssl_cert_file": certificates.certificate, "ssl_key_file": key}
    settings |= {"fsync": "off", "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": str(port)}
    command = [str(_POSTGRES / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with _running(command, certificates.directory / "postgres.log", user):
        url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres?sslmode=verify-full&sslrootcert="
        wait_until(lambda: _answers(partial(_ask, url + certificates.good)), message="PostgreSQL")
        yield url


@pytest.fixture(scope="module")
def mariadb(certificates: Certificates) -> Iterator[str]:
    install, server = shutil.which("mariadb-install-db"), shutil.which("mariadbd")
    if install is None or server is None:
        pytest.skip("MariaDB's server programs are not on this machine")
    (user, key), [port] = _account("mysql", certificates), free_ports(1)
    data = certificates.directory / "maria"
    paths = ["--no-defaults", f"--datadir={data}"]
    make = [install, *paths, "--auth-root-authentication-method=normal", "--skip-test-db"]
    subprocess.run(make, check=True, capture_output=True, user=user, cwd=certificates.directory)
    command = [server, *paths, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={data}/socket"]
    command += [f"--ssl-cert={certificates.certificate}", f"--ssl-key={key}"]
    command += ["--require-secure-transport=ON", "--skip-name-resolve", f"--pid-file={data}/pid"]
    with _running(command, certificates.directory / "mariadb.log", user):
        url = f"mysql+pymysql://root@127.0.0.1:{port}/mysql?ssl_ca="
        wait_until(lambda: _answers(partial(_ask, url + certificates.good)), message="MariaDB")
        yield url


def _ask(url: str) -> Any:
    """Ask, by the product's own connection, whether it is encrypted."""
    database = Database(url)
    ask = "show status like 'Ssl_version'"
    if database.dialect == "postgresql":
        ask = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()"
    try:
        with database.engine.connect() as connection:
            return connection.exec_driver_sql(ask).one()[1]
    finally:
        database.dispose()


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_databases(kind: str, request: pytest.FixtureRequest, certificates: Certificates) -> None:
    url: str = request.getfixturevalue(kind)
    assert str(_ask(url + certificates.good)).startswith("TLSv1.")
    with pytest.raises(sa.exc.OperationalError, match="certificate verify failed"):
        _ask(url + certificates.wrong)


@pytest.fixture(scope="module")
def rabbitmq_port(certificates: Certificates) -> Iterator[int]:
    # Not what stands in /usr/sbin, which takes another account and other folders.
    found = shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin") or shutil.which("rabbitmq-server")
    if found is None:
        pytest.skip("RabbitMQ's server is not on this machine")
    port, distribution = free_ports(2)
    place = certificates.directory / "rabbitmq"
    place.mkdir()
    settings = {
        "listeners.tcp": "none",
        "listeners.ssl.1": f"127.0.0.1:{port}",
        "ssl_options.cacertfile": certificates.good,
        "ssl_options.certfile": certificates.certificate,
        "ssl_options.keyfile": certificates.key,
        "ssl_options.verify": "verify_none",
        "ssl_options.fail_if_no_peer_cert": "false",
    }
    (place / "rabbitmq.conf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
    (place / "plugins").write_text("[].")
    environment = {
        "HOME": str(place),
        "RABBITMQ_NODENAME": f"{PREFIX}{port}@localhost",
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(place / "data"),
        "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_LOGS": "-",
    }
    with _running([found], place / "log", environment=environment):
        wait_until(lambda: _listens(port), 60, message=lambda: (place / "log").read_text()[-2000:])
        yield port


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.databases("sqlite")
def test_rabbitmq(
    rabbitmq_port: int, certificates: Certificates, database_url: str, tmp_path: Path, start_worker: StartWorker
) -> None:
    shop = Shop(database_url, f"amqps://guest:guest@127.0.0.1:{rabbitmq_port}//", tmp_path, start_worker)

    def trusting(authority: str) -> None:
        known = {"ca_certs": authority, "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "localhost"}
        shop.configure(broker_use_ssl=known)

    trusting(certificates.wrong)
    with pytest.raises(OperationalError, match="certificate verify failed"), shop.celery.connection() as broker:
        broker.ensure_connection(max_retries=1)
    trusting(certificates.good)
    shop.worker(pool="threads", concurrency=4)
    shop.place(1)
    shop.wait_for_runs()
    shop.check(repeats=0)
    shop.close()
