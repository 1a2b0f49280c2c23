"""FastUser over TLS, against nginx with a certificate of our own."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from harness.clients.poll import poll
from tests.traffic.fast.test_client import Found, ask, user

CONFIG = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{ access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder}; client_max_body_size 50m; client_body_buffer_size 20m;
  root {folder};
  server {{ listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {folder}/cert.pem; ssl_certificate_key {folder}/key.pem;
    location / {{ return 200 "$ssl_protocol $ssl_server_name $request_method"; }}
    location /file/ {{ alias {folder}/; }}
    location /body {{ proxy_pass http://127.0.0.1:{port2}/; }} }}
  server {{ listen 127.0.0.1:{port2}; location / {{ return 200 "$content_length"; }} }} }}
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Found]:
    """What users with different ideas of trust are answered by one server named localhost."""
    folder, port = tmp_path_factory.mktemp("tls"), free_port()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        cwd=folder, check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    (folder / "big").write_bytes(b"b" * 3_000_000)
    folder.chmod(0o755)
    config = folder / "nginx.conf"
    config.write_text("user root;\n" + CONFIG.format(folder=folder, port=port, port2=free_port()))
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    with subprocess.Popen([nginx, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL) as process:
        try:
            poll(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 10_000_000_000)
            authority = str(folder / "cert.pem")
            yield ask(
                f"https://localhost:{port}",
                {
                    "verified": user({"url": "/"}, {"url": "/"}, ca_file=authority),
                    "unknown": user({"url": "/"}),
                    "insecure": user({"url": "/"}, insecure=True),
                    "other name": user({"url": f"https://127.0.0.1:{port}/"}, ca_file=authority),
                    "large": user(
                        {"url": "/file/big"}, {"method": "POST", "url": "/body", "fill": 5_000_000}, ca_file=authority
                    ),
                    "plain": user({"url": f"http://localhost:{port}/"}),
                },
            )
        finally:
            process.terminate()


@pytest.mark.needs("nginx")
def test_a_trusted_certificate_is_served_on_a_kept_connection(answers: Found) -> None:
    """TLS 1.3 with the server's name sent; the second request shakes no hands."""
    first, second = answers["verified"]
    assert first["text"] == second["text"] == "TLSv1.3 localhost GET"
    assert first["timings"][0] > 0 == second["timings"][0]


@pytest.mark.needs("nginx")
@pytest.mark.parametrize(("who", "said"), [("unknown", "self"), ("other name", "IP address mismatch")])
def test_certificates_are_verified_unless_told_otherwise(answers: Found, who: str, said: str) -> None:
    """An unknown issuer and another name are refused, as failures to connect."""
    (answer,) = answers[who]
    assert (answer["status"], answer["error"]) == (0, "SSLCertVerificationError")
    assert said in answer["said"]


@pytest.mark.needs("nginx")
def test_insecure_takes_any_certificate(answers: Found) -> None:
    """When the class says so."""
    assert answers["insecure"][0]["status"] == 200


@pytest.mark.needs("nginx")
def test_large_bodies_pass_through_tls_whole(answers: Found) -> None:
    """Three megabytes here, five there."""
    down, up = answers["large"]
    assert (down["status"], down["text"]) == (200, 3_000_000)
    assert (up["status"], up["text"]) == (200, "5000000")


@pytest.mark.needs("nginx")
def test_plain_http_to_a_tls_port_is_a_bad_status(answers: Found) -> None:
    """nginx says 400."""
    assert answers["plain"][0]["status"] == 400
