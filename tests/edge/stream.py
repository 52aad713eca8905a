"""A network camera for tests: MJPEG over real HTTP, that can be switched off and on again."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2

from models.prediction import Image


class NetworkCamera:
    """Sends the picture in `image` again and again while `on`; refuses and hangs up while not."""

    def __init__(self, image: Image, fps: float = 50) -> None:
        self.image, self.fps, self.on = image, fps, True
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
                    jpeg = cv2.imencode(".jpg", camera.image)[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    try:
                        self.wfile.write(head.encode() + jpeg + b"\r\n")
                    except OSError:
                        return
                    time.sleep(1 / camera.fps)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/video.mjpg"

    def __enter__(self) -> "NetworkCamera":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.on = False
        self._server.shutdown()
        self._server.server_close()
