"""A network camera for tests: MJPEG over real HTTP, that can be switched off, frozen and hung."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

from models.prediction import Image


class NetworkCamera:
    """Sends the picture in `image` again and again while `on`, with some noise unless `still`, by `flicker` brighter.

    While not `on` it refuses and hangs up; while `hung` it keeps the line and sends nothing.
    """

    def __init__(self, image: Image, fps: float = 50, *, still: bool = False, flicker: int = 0) -> None:
        self.image, self.fps, self.still, self.flicker = image, fps, still, flicker
        self.on, self.hung, self.sent = True, False, 0
        self._random = np.random.default_rng(0)
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if not camera.on:
                    self.send_error(503)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                while camera.on:
                    if not camera.hung:
                        try:
                            self.wfile.write(camera.part())
                        except OSError:
                            return
                        camera.sent += 1
                    time.sleep(1 / camera.fps)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/video.mjpg"

    def part(self) -> bytes:
        """The next picture as it goes over the line."""
        image = self.image
        if not self.still:
            # Blocks of noise survive JPEG; four grey values change no verdict.
            noise = self._random.integers(0, 4, (8, 8, 3), np.uint8)
            image = cv2.add(image, cv2.resize(noise, image.shape[1::-1], interpolation=cv2.INTER_NEAREST))
            image = cv2.add(image, np.full_like(image, self._random.integers(0, self.flicker + 1)))
        jpeg = cv2.imencode(".jpg", image)[1].tobytes()
        return f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode() + jpeg + b"\r\n"

    def __enter__(self) -> "NetworkCamera":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.on = False
        self._server.shutdown()
        self._server.server_close()
