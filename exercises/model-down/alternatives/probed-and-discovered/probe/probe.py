"""Looks at an address as a user would, when it is scraped: `/probe?target=URL`, in the words of Prometheus' blackbox exporter."""

import http.server
import time
import urllib.error
import urllib.parse
import urllib.request


class Probe(http.server.BaseHTTPRequestHandler):
    """Answers with what one look at a target found."""

    def do_GET(self) -> None:
        """The metrics of one look."""
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        target = query.get("target", [""])[0]
        began = time.monotonic()
        try:
            with urllib.request.urlopen(target, timeout=0.5) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        except (OSError, ValueError):
            status = 0
        text = (
            f"probe_success {int(status == 200)}\n"
            f"probe_http_status_code {status}\n"
            f"probe_duration_seconds {time.monotonic() - began:.6f}\n"
        ).encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain; version=0.0.4")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


http.server.ThreadingHTTPServer(("", 9115), Probe).serve_forever()
