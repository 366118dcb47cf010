"""A real Apache Cassandra on loopback, from its Maven artifacts, to stand beside.

    python -m bench.compare.cassandra       start one, print its address, stop it at Ctrl-C

Needs mvn and a JDK 17 (`JAVA_HOME`, or `java` on the path). The jars come from Maven Central once
and stay in `COMPARE_CACHE` (default: the user's cache directory); `COMPARE_CASSANDRA_JARS` names a
directory that has them.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

VERSION = "5.0.9"
HEAP = "512M"
START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 60.0
COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

POM = """<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>compare</groupId><artifactId>cassandra</artifactId><version>1</version>
  <packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.apache.cassandra</groupId><artifactId>cassandra-all</artifactId>
    <version>{version}</version>
  </dependency></dependencies>
</project>
"""

# What Cassandra must be told; everything else is its own default.
SETTINGS = """cluster_name: 'Test Cluster'
num_tokens: 16
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: SimpleSnitch
commitlog_sync: periodic
commitlog_sync_period: 10000ms
listen_address: 127.0.0.1
rpc_address: 127.0.0.1
storage_port: {storage_port}
native_transport_port: {port}
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "127.0.0.1:{storage_port}"}}]
data_file_directories: ['{directory}/data']
commitlog_directory: '{directory}/commitlog'
hints_directory: '{directory}/hints'
saved_caches_directory: '{directory}/saved_caches'
cdc_raw_directory: '{directory}/cdc_raw'
"""

LOGGING = """<configuration><appender name="F" class="ch.qos.logback.core.FileAppender">
<file>{directory}/system.log</file>
<encoder><pattern>%-5level %date{{ISO8601}} %F:%L - %msg%n</pattern></encoder>
</appender><root level="INFO"><appender-ref ref="F"/></root></configuration>
"""

# The module access which Cassandra 5.0 needs on JDK 17.
EXPORTS = (
    "java.base/jdk.internal.misc",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "java.base/java.lang.ref",
    "jdk.unsupported/sun.misc",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.attach/sun.tools.attach",
)
OPENS = (
    "java.base/java.lang.module",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.util.jar",
    "jdk.management/com.sun.management.internal",
    "java.base/sun.nio.ch",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/java.lang.reflect",
    "jdk.compiler/com.sun.tools.javac",
    "java.base/java.lang",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
)
SHORT_LIVED = "-XX:TieredStopAtLevel=1"
"""For answers rather than speed: less compilation."""

ONE_CORE = "-XX:ActiveProcessorCount=1"
"""For speed on one core: threads and a collector that are made for it."""

# Short cuts for one node that nobody else waits for.
BOOT = (
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.ring_delay_ms=2000",
    "-Dcassandra.superuser_setup_delay_ms=0",
    "-Dcassandra-foreground=yes",
    "-Djava.net.preferIPv4Stack=true",
    "-Djdk.attach.allowAttachSelf=true",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:+AlwaysPreTouch",
    "-Xss256k",
)


class Cassandra:
    """One node in a directory of its own, on free ports."""

    def __init__(
        self,
        directory: Path,
        *,
        is_short_lived: bool = True,
        settings: dict[str, str] | None = None,
    ) -> None:
        """`settings` take the place of those above or stand beside them; "" leaves one out."""
        self.directory = directory
        self.address = "127.0.0.1"
        self.port = 0
        self._jmx_port = 0
        self._is_short_lived = is_short_lived
        self._settings = settings or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None, "the node runs"
        return self._process.pid

    def start(self) -> Cassandra:
        """Starts the node and returns when it accepts clients."""
        jars = find_jars()
        self.port, storage_port, self._jmx_port = free_ports(3)
        self.directory.mkdir(parents=True, exist_ok=True)
        names = {"directory": self.directory, "port": self.port, "storage_port": storage_port}
        lines = [
            line
            for line in SETTINGS.format(**names).splitlines()
            if line.partition(":")[0] not in self._settings
        ]
        lines += [f"{name}: {value}" for name, value in self._settings.items() if value]
        (self.directory / "cassandra.yaml").write_text("\n".join(lines))
        (self.directory / "logback.xml").write_text(LOGGING.format(**names))
        with (self.directory / "stdout.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(jars), cwd=self.directory, stdout=log, stderr=log
            )
        self._wait_until_it_listens()
        return self

    def nodetool(self, *words: str) -> str:
        """What Cassandra's own tool says to an order; raises CalledProcessError."""
        tool = [*self._java(find_jars()), SHORT_LIVED, "org.apache.cassandra.tools.NodeTool"]
        order = [*tool, "-p", str(self._jmx_port), *words]
        done = subprocess.run(order, cwd=self.directory, check=True, capture_output=True, text=True)
        return done.stdout

    def _java(self, jars: Path) -> list[str]:
        home = os.environ.get("JAVA_HOME")
        return [
            f"{home}/bin/java" if home else "java",
            *(f"--add-exports={name}=ALL-UNNAMED" for name in EXPORTS),
            *(f"--add-opens={name}=ALL-UNNAMED" for name in OPENS),
            f"-Dcassandra.config=file://{self.directory}/cassandra.yaml",
            f"-Dcassandra.storagedir={self.directory}",
            f"-Dcassandra.logdir={self.directory}",
            f"-Dlogback.configurationFile=file:{self.directory}/logback.xml",
            *("-cp", f"{self.directory}:{jars}/*"),
        ]

    def _command(self, jars: Path) -> list[str]:
        (agent,) = jars.glob("jamm-*.jar")
        return [
            *self._java(jars),
            SHORT_LIVED if self._is_short_lived else ONE_CORE,
            *(f"-Xms{HEAP}", f"-Xmx{HEAP}", f"-javaagent:{agent}", *BOOT),
            f"-Dcassandra.jmx.local.port={self._jmx_port}",
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def _wait_until_it_listens(self) -> None:
        assert self._process is not None, "the node was started"
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection((self.address, self.port), 1).close()
            except OSError:
                time.sleep(0.2)
            else:
                return
        self.stop()
        raise RuntimeError(f"Cassandra does not serve; see the logs in {self.directory}")

    def kill(self) -> None:
        """Ends the node at once, as a crash would."""
        assert self._process is not None, "the node runs"
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ends the node if it runs."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def find_jars() -> Path:
    """The directory with Cassandra's jars; fetches them the first time."""
    named = os.environ.get("COMPARE_CASSANDRA_JARS")
    jars = Path(named) if named else cache_directory() / f"cassandra-{VERSION}"
    if not (jars / f"cassandra-all-{VERSION}.jar").exists():
        with tempfile.TemporaryDirectory() as folder:
            pom = Path(folder) / "pom.xml"
            pom.write_text(POM.format(version=VERSION))
            options = ["-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
            subprocess.run(["mvn", "-q", "-B", "-f", pom, COPY_DEPENDENCIES, *options], check=True)
    return jars


def cache_directory() -> Path:
    named = os.environ.get("COMPARE_CACHE")
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(user) / "pythia-compare"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [place.getsockname()[1] for place in sockets]
    for place in sockets:
        place.close()
    return ports


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    signal.signal(signal.SIGTERM, _interrupt)
    with tempfile.TemporaryDirectory() as folder:
        node = Cassandra(Path(folder)).start()
        print(f"{node.address}:{node.port}", flush=True)
        try:
            assert node._process is not None
            node._process.wait()
        except KeyboardInterrupt:
            node.stop()


if __name__ == "__main__":
    sys.exit(main())
