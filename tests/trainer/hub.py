"""A hub on loopback: what huggingface_hub asks for, and nothing more."""

import contextlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "c0ffee" * 6 + "c0ff"


class Hub:
    """Serves one content under /<repository>/resolve/main/model.safetensors and notes each request."""

    def __init__(self, repository: str, content: bytes) -> None:
        self.path, self.content = f"/{repository}/resolve/main/model.safetensors", content
        self.asked: list[str] = []
        self.address = ""

    @contextlib.contextmanager
    def running(self) -> Iterator["Hub"]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.asked.append(f"HEAD {self.path}")
                self._head()

            def do_GET(self) -> None:
                hub.asked.append(f"GET {self.path}")
                if self._head():
                    self.wfile.write(hub.content)

            def _head(self) -> bool:
                found = self.path.split("?")[0] in (hub.path, hub.path.replace("/main/", f"/{COMMIT}/"))
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(hub.content) if found else 0))
                if found:
                    self.send_header("ETag", '"0123456789abcdef"')
                    self.send_header("X-Repo-Commit", COMMIT)
                else:
                    self.send_header("X-Error-Code", "RepoNotFound")
                self.end_headers()
                return found

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, name="hub")
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
